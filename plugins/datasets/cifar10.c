/* cifar10: CIFAR-10 in its binary files (Krizhevsky 2009): records of a label and 3 x 32 x 32 bytes, in
 * data_batch_1.bin and on, and in test_batch.bin; the classes' names are the lines of batches.meta.txt. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <demist/plugin.h>

enum { CLASSES = 10, SIDE = 32, PIXELS = 3 * SIDE * SIDE, RECORD = 1 + PIXELS, BLOCK = 256 /* records */,
       MAX_FILES = 99, MAX_NAMES = 4096 };
static const int64_t max_bytes = (int64_t)1 << 40; /* of a file */

typedef struct { const char *folder; bool labels; } cfg;

static const dm_param params[] = {
    DM_PATH(cfg, folder, NULL, "folder with data_batch_1.bin and on, test_batch.bin and batches.meta.txt"),
    DM_BOOL(cfg, labels, "true", "label the images with their classes"),
    DM_END,
};

/* The split's files: descriptors + 1, so that zeroed is none, and how many examples lie before each. */
typedef struct {
    int fd[MAX_FILES], n;
    int64_t before[MAX_FILES + 1];
    char names[MAX_NAMES];
    const char *name[CLASSES];
} state;

typedef struct { char text[4352]; } path;

static path path_of(dm_ctx *c, const char *name)
{
    path p;

    snprintf(p.text, sizeof p.text, "%s/%s", ((const cfg *)c->cfg)->folder, name);
    return p;
}

static dm_status take(dm_ctx *c, int fd, int64_t at, size_t n, unsigned char *to)
{
    while (n > 0) {
        const ssize_t got = pread(fd, to, n, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dm_fail(c, DM_EIO, "read of %zu bytes at %lld failed: %s", n, (long long)at,
                           got ? strerror(errno) : "the file has become shorter");
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return DM_OK;
}

/* Its size; -1 after an error, which may leave it open. */
static int64_t open_file(dm_ctx *c, const char *file, int *fd)
{
    struct stat st;

    if ((*fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        dm_fail(c, errno == EIO ? DM_EIO : DM_EINVAL, "unable to open '%s': %s", file, strerror(errno));
    else if (fstat(*fd, &st))
        dm_fail(c, DM_EIO, "unable to access '%s': %s", file, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        dm_fail(c, DM_EINVAL, "'%s' is not a regular file", file);
    else
        return st.st_size;
    return -1;
}

static dm_status check_labels(dm_ctx *c, const char *file, int fd, int64_t count)
{
    unsigned char *b = malloc((size_t)BLOCK * RECORD);
    dm_status s = b ? DM_OK : dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", file);

    for (int64_t i = 0; i < count && !s; i += BLOCK) {
        const size_t n = (size_t)(count - i < BLOCK ? count - i : BLOCK);

        s = take(c, fd, i * RECORD, n * RECORD, b);
        for (size_t k = 0; k < n && !s; k++)
            if (b[k * RECORD] >= CLASSES)
                s = dm_fail(c, DM_ECORRUPT, "'%s': the label of image %lld is %d; it must be below %d", file,
                            (long long)i + (long long)k, b[k * RECORD], CLASSES);
    }
    free(b);
    return s;
}

static dm_status add(dm_ctx *c, const char *file)
{
    state *st = c->self;
    int fd;
    const int64_t size = open_file(c, file, &fd);

    if (fd >= 0)
        st->fd[st->n++] = fd + 1;
    if (size < 0)
        return c->err->code;
    if (size == 0 || size % RECORD || size > max_bytes)
        return dm_fail(c, DM_ECORRUPT, "'%s' has %lld bytes; CIFAR-10's binary files have a multiple of %d", file,
                       (long long)size, RECORD);
    st->before[st->n] = st->before[st->n - 1] + size / RECORD;
    return check_labels(c, file, fd, size / RECORD);
}

static bool is_there(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static dm_status not_there(dm_ctx *c, const char *file)
{
    const size_t n = strlen(file) - strlen(".bin");
    char pickled[sizeof(path)];

    snprintf(pickled, sizeof pickled, "%.*s", (int)n, file);
    return dm_fail(c, DM_EINVAL, "'%s' does not exist%s", file,
                   is_there(pickled) ? "; the folder has CIFAR-10's version for Python; the binary one is needed" : "");
}

static dm_status add_training(dm_ctx *c)
{
    char name[32];
    path file, missing = {""};

    for (int i = 1; i <= MAX_FILES; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        file = path_of(c, name);
        if (!is_there(file.text)) {
            missing = *missing.text ? missing : file;
            if (i == 1)
                break;
        } else if (*missing.text)
            return dm_fail(c, DM_EINVAL, "'%s' does not exist, but '%s' does", missing.text, file.text);
        else if (add(c, file.text))
            return c->err->code;
    }
    return ((state *)c->self)->n ? DM_OK : not_there(c, missing.text);
}

/* A name a line; blank lines at the end. */
static dm_status split_names(dm_ctx *c, const char *file)
{
    state *st = c->self;
    char *text = st->names + (strncmp(st->names, "\xef\xbb\xbf", 3) ? 0 : 3); /* behind UTF-8's mark */
    int n = 0;

    for (char *save, *s = strtok_r(text, "\r\n", &save); s; s = strtok_r(NULL, "\r\n", &save)) {
        for (const char *p = s; *p; p++)
            if ((unsigned char)*p < ' ')
                return dm_fail(c, DM_ECORRUPT, "'%s': name %d has a control character", file, n + 1);
        if (n < CLASSES)
            st->name[n] = s;
        n++;
    }
    return n == CLASSES ? DM_OK
                        : dm_fail(c, DM_ECORRUPT, "'%s' has %d names; CIFAR-10 has %d classes", file, n, CLASSES);
}

/* Without batches.meta.txt the classes have no names. */
static dm_status read_names(dm_ctx *c)
{
    const path file = path_of(c, "batches.meta.txt");
    state *st = c->self;
    dm_status s = DM_OK;
    int64_t size;
    int fd;

    if (!is_there(file.text))
        return DM_OK;
    size = open_file(c, file.text, &fd);
    if (size < 0)
        s = c->err->code;
    else if (size >= MAX_NAMES)
        s = dm_fail(c, DM_ECORRUPT, "'%s' has %lld bytes; less than %d are read", file.text, (long long)size,
                    MAX_NAMES);
    else
        s = take(c, fd, 0, (size_t)size, (unsigned char *)st->names);
    if (fd >= 0)
        close(fd);
    return s ? s : strlen(st->names) != (size_t)size
                       ? dm_fail(c, DM_ECORRUPT, "'%s' is not a text file of class names", file.text)
                       : split_names(c, file.text);
}

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const path test = path_of(c, "test_batch.bin");

    if (strlen(p->folder) > 4096)
        return dm_fail(c, DM_EINVAL, "folder: the path is too long");
    if (strcmp(split, "train") == 0) {
        if (add_training(c))
            return c->err->code;
    } else if (!is_there(test.text))
        return dm_fail(c, DM_ENOENT, "no test split: '%s' does not exist", test.text);
    else if (add(c, test.text))
        return c->err->code;
    if (p->labels && read_names(c))
        return c->err->code;
    info->count = st->before[st->n];
    info->shape = (dm_shape){3, {3, SIDE, SIDE}};
    info->classes = p->labels ? CLASSES : 0;
    info->high = 255;
    info->levels = 256;
    return DM_OK;
}

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const state *st = c->self;
    unsigned char b[RECORD];
    int i = 0;

    while (index >= st->before[i + 1])
        i++;
    if (take(c, st->fd[i] - 1, (index - st->before[i]) * RECORD, RECORD, b))
        return c->err->code;
    for (int k = 0; k < PIXELS; k++)
        x[k] = b[1 + k];
    if (label)
        *label = b[0];
    return DM_OK;
}

static const char *class_name(dm_ctx *c, int32_t label) { return ((const state *)c->self)->name[label]; }

static void close_(dm_ctx *c)
{
    const state *st = c->self;

    for (int i = 0; i < st->n; i++)
        close(st->fd[i] - 1);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "cifar10", .version = "1", .license = "Apache-2.0",
    .doc = "CIFAR-10 in its binary files", .params = params,
    .cfg_size = sizeof(cfg), .self_size = sizeof(state), .close = close_,
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_,
                                    .class_name = class_name},
};
