/* Recognizing data; see fingerprint.h. */
#include "data/fingerprint.h"

#include "data/conditions.h"
#include "settings/param.h"

#include <errno.h>
#include <sha256.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Values that are read where a data set is read whole; else so many examples, of images in files fewer. */
enum { CHEAP = 1 << 23, SOME = 1024, SOME_FILES = 64, LONGEST_CLASSES = 1 << 16 };

static void hash_int(SHA256_CTX *sha, int64_t v)
{
    uint8_t b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)((uint64_t)v >> 8 * i);
    SHA256Update(sha, b, sizeof b);
}

/* The size of a file, or of the archive that it is in. */
static dm_status size_of(const char *file, int64_t *size, dm_err *err)
{
    char path[4096];
    struct stat st;

    if (snprintf(path, sizeof path, "%s", file) >= (int)sizeof path)
        return dm_error(err, DM_EINVAL, "the path '%.100s...' is too long", file);
    while (stat(path, &st)) {
        char *slash = strrchr(path, '/');

        if (errno != ENOTDIR || !slash)
            return dm_file_error(err, "look at", file);
        *slash = 0;
    }
    *size = (int64_t)st.st_size;
    return DM_OK;
}

/* Names and sizes of files; true where the examples have names. */
static dm_status hash_names(const dm_data *d, char hash[SHA256_DIGEST_STRING_LENGTH], bool *named, dm_err *err)
{
    const int64_t count = dm_data_get_info(d)->count;
    int64_t size;
    SHA256_CTX sha;
    dm_status rc;

    *named = false;
    SHA256Init(&sha);
    for (int64_t i = 0; i < count; i++) {
        const char *file, *name = dm_data_name(d, i, &file);

        if (!name)
            continue;
        *named = true;
        if ((rc = size_of(file, &size, err)))
            return rc;
        SHA256Update(&sha, (const uint8_t *)name, strlen(name) + 1);
        hash_int(&sha, size);
    }
    SHA256End(&sha, hash);
    return DM_OK;
}

/* An example that cannot be read counts as such: training says so when it comes to it. */
static dm_status hash_example(dm_data *d, int64_t index, SHA256_CTX *sha, dm_err *err)
{
    dm_err why = {0};
    const float *x;
    dm_shape shape;
    int32_t label = 0;
    int64_t n = 1;

    hash_int(sha, index);
    if (dm_data_raw(d, index, &shape, &x, &label, &why)) {
        hash_int(sha, -1);
        return why.code == DM_ENOMEM || why.code == DM_EIO ? dm_error(err, why.code, "%s", why.msg) : DM_OK;
    }
    for (int32_t k = 0; k < shape.rank; k++) {
        hash_int(sha, shape.dim[k]);
        n *= shape.dim[k];
    }
    hash_int(sha, label);
    SHA256Update(sha, (const uint8_t *)x, (size_t)n * sizeof *x);
    return DM_OK;
}

/* Its conditions, the same way. */
static dm_status hash_told(dm_data *d, int64_t index, SHA256_CTX *sha, dm_err *err)
{
    dm_err why = {0};
    const float *values;
    int64_t n;

    if (dm_data_read_conditions(d, index, &n, &values, &why)) {
        hash_int(sha, -1);
        return why.code == DM_ENOMEM || why.code == DM_EIO ? dm_error(err, why.code, "%s", why.msg) : DM_OK;
    }
    if (n)
        SHA256Update(sha, (const uint8_t *)values, (size_t)n * sizeof *values);
    return DM_OK;
}

typedef dm_status hashing(dm_data *d, int64_t index, SHA256_CTX *sha, dm_err *err);

static dm_status hash_examples(dm_data *d, hashing *how, bool files, int64_t size,
                               char hash[SHA256_DIGEST_STRING_LENGTH], dm_err *err)
{
    const int64_t count = dm_data_get_info(d)->count, some = files ? SOME_FILES : SOME;
    const bool all = count <= some || size <= CHEAP / count;
    dm_status rc = DM_OK;
    SHA256_CTX sha;

    SHA256Init(&sha);
    for (int64_t i = 0; i < (all ? count : some) && !rc; i++)
        rc = how(d, all ? i : (int64_t)((double)i * (double)(count - 1) / (double)(some - 1)), &sha, err);
    SHA256End(&sha, hash);
    return rc;
}

/* " HASH", or nothing without conditions. */
static dm_status add_told(dm_data *d, bool files, char *text, size_t n, dm_err *err)
{
    char hash[SHA256_DIGEST_STRING_LENGTH];
    const dm_data_info *info = dm_data_get_info(d);
    int64_t size = 0;
    dm_status rc;

    for (int32_t k = 0; k < info->n_conditions; k++)
        size += dm_condition_size(&info->conditions[k]);
    if (!size)
        return DM_OK;
    rc = hash_examples(d, hash_told, files, size, hash, err);
    snprintf(text, n, " %s", hash);
    return rc;
}

/* Metadata must be UTF-8, and '/' parts the names. */
static dm_status join_classes(const dm_data *d, char **out, dm_err *err)
{
    const int32_t classes = dm_data_get_info(d)->classes;
    size_t n = 0;
    char *all = calloc(1, LONGEST_CLASSES);

    if (!all)
        return dm_error(err, DM_ENOMEM, "out of memory for the classes' names");
    for (int32_t i = 0; i < classes; i++) {
        const char *name = dm_data_class_name(d, i);
        const size_t m = name ? strlen(name) : 0;

        if (!name || n + m + 2 > LONGEST_CLASSES) {
            n = *all = 0; /* names that are not all known tell nothing */
            break;
        }
        n += (size_t)snprintf(all + n, LONGEST_CLASSES - n, "%s%s", i ? "/" : "", name);
        for (char *p = all + n - m; *p; p++)
            *p = *p == '/' || (unsigned char)*p < ' ' ? '_' : *p;
    }
    for (char *p = all, *end = dm_text_is_utf8(all) ? all : all + n; p < end; p++)
        *p = (unsigned char)*p > 0x7e ? '?' : *p;
    *out = all;
    return DM_OK;
}

dm_status dm_fingerprint_make(dm_data *d, dm_fingerprint *out, dm_err *err)
{
    char names[SHA256_DIGEST_STRING_LENGTH], content[SHA256_DIGEST_STRING_LENGTH];
    bool named;
    dm_status rc;
    int n;

    *out = (dm_fingerprint){0};
    if ((rc = hash_names(d, names, &named, err)) ||
        (rc = hash_examples(d, hash_example, named, dm_data_raw_size(d), content, err)))
        return rc;
    n = snprintf(out->text, sizeof out->text, "%lld %s %s", (long long)dm_data_get_info(d)->count, names, content);
    if ((rc = add_told(d, named, out->text + n, sizeof out->text - (size_t)n, err)))
        return rc;
    return join_classes(d, &out->classes, err);
}

void dm_fingerprint_fini(dm_fingerprint *f)
{
    free(f->classes);
    f->classes = NULL;
}

bool dm_fingerprint_renumbered(const char *now, const char *before, char *what, size_t n)
{
    for (int i = 0; *now && *before; i++) {
        const size_t a = strcspn(now, "/"), b = strcspn(before, "/");

        if (a != b || memcmp(now, before, a)) {
            snprintf(what, n, "class %d is '%.*s' and was '%.*s'", i, (int)(a < 80 ? a : 80), now,
                     (int)(b < 80 ? b : 80), before);
            return true;
        }
        now += a + (now[a] == '/');
        before += b + (before[b] == '/');
    }
    return false;
}

/* The part of a fingerprint behind `at` spaces. */
static const char *part(const char *text, int at)
{
    for (; at > 0 && text; at--)
        if ((text = strchr(text, ' ')))
            text++;
    return text ? text : "";
}

bool dm_fingerprint_same(const dm_fingerprint *now, const char *text, const char *classes, char *what, size_t n)
{
    const size_t hash = SHA256_DIGEST_STRING_LENGTH - 1;
    const long long count = strtoll(text, NULL, 10), have = strtoll(now->text, NULL, 10);

    if (dm_fingerprint_renumbered(now->classes, classes ? classes : "", what, n))
        return false;
    /* a checkpoint of before says nothing of conditions */
    if (!strncmp(now->text, text, *part(text, 3) ? sizeof now->text : strlen(text)) &&
        !strcmp(now->classes, classes ? classes : ""))
        return true;
    if (count != have)
        snprintf(what, n, "%lld examples, where it had %lld", have, count);
    else if (strcmp(now->classes, classes ? classes : "") || strncmp(part(now->text, 1), part(text, 1), hash))
        snprintf(what, n, "the same number of examples, but other file names or sizes");
    else if (strncmp(part(now->text, 2), part(text, 2), hash))
        snprintf(what, n, "the same number of examples, but other contents");
    else
        snprintf(what, n, "the same examples, but other conditions");
    return false;
}
