/* Walking a folder; see folder.h. */
#define _XOPEN_SOURCE 700
#include "folder.h"

#include "image_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 16, MAX_IMAGES = 1 << 28, MAX_FOLDERS = 1 << 20 };

char *folder_join(const char *a, const char *b)
{
    const size_t n = strlen(a) + strlen(b) + 2;
    char *p = malloc(n);

    if (p)
        snprintf(p, n, "%s/%s", a, b);
    return p;
}

dm_status folder_add(dm_ctx *c, image_list *l, char *path, int64_t at)
{
    if (l->n == l->cap) {
        const int64_t cap = l->cap ? l->cap * 2 : 1024;
        image *more = cap <= MAX_IMAGES ? realloc(l->image, (size_t)cap * sizeof *more) : NULL;

        if (!more) {
            free(path);
            return dm_fail(c, DM_ENOMEM, "out of memory: more than %lld images", (long long)l->n);
        }
        l->image = more;
        l->cap = cap;
    }
    l->image[l->n++] = (image){.path = path, .at = at, .row = -1, .pair = -1};
    return DM_OK;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

void folder_leave_out(image_list *l, const char *name)
{
    const char *dot = strrchr(name, '.');
    char end[sizeof l->left[0].end] = "no end";
    int i = 0;

    if (dot && strlen(dot) < sizeof end) {
        strcpy(end, dot);
        for (char *p = end; *p; p++)
            *p = (unsigned char)*p < ' ' || *p > '~' ? '?' : lower(*p);
    }
    while (i < l->n_left && strcmp(l->left[i].end, end))
        i++;
    if (i == l->n_left && i < MAX_LEFT_OUT)
        strcpy(l->left[l->n_left++].end, end);
    l->left[i < l->n_left ? i : MAX_LEFT_OUT].n++;
}

/* A link to nothing, as errno says; all else is a fault of the machine. */
static dm_status leads_nowhere(dm_ctx *c, const char *path)
{
    return errno == ENOENT || errno == EACCES || errno == ELOOP
               ? DM_OK
               : dm_fail(c, errno == ENOMEM ? DM_ENOMEM : DM_EIO, "unable to access '%s': %s", path, strerror(errno));
}

static int most_first(const void *a, const void *b)
{
    const left_out *x = a, *y = b;

    return x->n < y->n ? 1 : x->n > y->n ? -1 : strcmp(x->end, y->end);
}

void folder_left_out(const image_list *l, char *text, size_t n)
{
    left_out sorted[MAX_LEFT_OUT + 1];
    size_t at = 0;

    memcpy(sorted, l->left, sizeof sorted);
    qsort(sorted, (size_t)l->n_left, sizeof *sorted, most_first);
    *text = 0;
    for (int i = 0; i < l->n_left && at < n; i++)
        at += (size_t)snprintf(text + at, n - at, "%s%lld %s%s", i ? ", " : "", (long long)sorted[i].n,
                               *sorted[i].end == '.' ? "" : "with ", sorted[i].end);
    if (l->left[MAX_LEFT_OUT].n && at < n)
        snprintf(text + at, n - at, ", %lld others", (long long)l->left[MAX_LEFT_OUT].n);
}

static int by_path(const void *a, const void *b) { return strcmp(((const image *)a)->path, ((const image *)b)->path); }

static dm_status no_folder(dm_ctx *c, const char *dir)
{
    const bool refused = errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP ||
                         errno == ENAMETOOLONG;

    return dm_fail(c, refused ? DM_EINVAL : errno == ENOMEM ? DM_ENOMEM : DM_EIO, "unable to read folder '%s': %s", dir,
                   strerror(errno));
}

/* The next name; NULL behind the last. */
static dm_status next(dm_ctx *c, DIR *d, const char *dir, struct dirent **e)
{
    errno = 0;
    *e = readdir(d);
    return *e || !errno ? DM_OK : no_folder(c, dir);
}

/* The folders that lie around one, from it to the outermost. */
typedef struct around { const struct around *next; dev_t device; ino_t inode; } around;

/* A link to a folder that it lies in. */
static bool leads_back(const around *in, const struct stat *sb)
{
    while (in && (in->device != sb->st_dev || in->inode != sb->st_ino))
        in = in->next;
    return in;
}

static bool is_link(const char *path)
{
    struct stat sb;

    return !lstat(path, &sb) && S_ISLNK(sb.st_mode);
}

static dm_status walk(dm_ctx *c, const char *dir, const list_rules *rules, int depth, const around *in, image_list *l)
{
    DIR *d = opendir(dir);
    dm_status s = DM_OK;
    struct stat sb = {0};

    if (!d)
        return no_folder(c, dir);
    if (++l->folders > MAX_FOLDERS)
        s = dm_fail(c, DM_EINVAL,
                    "'%s': these are more than %d folders, each counted as often as links lead to it; remove links",
                    dir, MAX_FOLDERS);
    else if (fstat(dirfd(d), &sb))
        s = no_folder(c, dir);
    const around here = {in, sb.st_dev, sb.st_ino};
    for (struct dirent *e; !s && !(s = next(c, d, dir, &e)) && e;) {
        char *path;

        if (e->d_name[0] == '.')
            continue;
        if (!(path = folder_join(dir, e->d_name)))
            s = dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", dir);
        else if (!rules->links && is_link(path))
            l->links++;
        else if (stat(path, &sb)) {
            if (!(s = leads_nowhere(c, path)))
                folder_leave_out(l, e->d_name);
        } else if (S_ISDIR(sb.st_mode) && leads_back(&here, &sb))
            folder_leave_out(l, e->d_name);
        else if (S_ISDIR(sb.st_mode))
            s = depth < MAX_DEPTH ? walk(c, path, rules, depth + 1, &here, l)
                                  : dm_fail(c, DM_EINVAL, "'%s' is more than %d folders deep", path, MAX_DEPTH);
        else if (S_ISREG(sb.st_mode) && image_has_name(e->d_name, rules->webp))
            s = folder_add(c, l, path, 0), path = NULL;
        else
            folder_leave_out(l, e->d_name);
        free(path);
    }
    closedir(d);
    return s;
}

void folder_sort(image_list *l)
{
    if (l->n)
        qsort(l->image, (size_t)l->n, sizeof *l->image, by_path);
}

dm_status folder_list(dm_ctx *c, const char *dir, const list_rules *rules, image_list *out)
{
    struct stat sb;
    const bool file = !stat(dir, &sb) && S_ISREG(sb.st_mode) && image_has_name(dir, rules->webp);
    char *one = file ? strdup(dir) : NULL;
    dm_status s;

    if (file)
        s = one ? folder_add(c, out, one, 0) : dm_fail(c, DM_ENOMEM, "out of memory: '%s'", dir);
    else
        s = walk(c, dir, rules, 0, NULL, out);
    folder_sort(out);
    return s;
}

/* FNV-1a, its bits spread by splitmix64's last steps: 0 to 1. */
static double place_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (double)((h ^ h >> 31) >> 11) * 0x1p-53;
}

void folder_split(image_list *l, size_t below, double share, bool held_out)
{
    int64_t kept = 0;

    for (int64_t i = 0; i < l->n; i++)
        if ((place_of(l->image[i].path + below) < share) == held_out)
            l->image[kept++] = l->image[i];
        else
            folder_forget(&l->image[i]);
    l->n = kept;
}

void folder_forget(image *m)
{
    free(m->path);
    free(m->class);
}

void folder_list_free(image_list *l)
{
    for (int64_t i = 0; i < l->n; i++)
        folder_forget(&l->image[i]);
    free(l->image);
}

dm_status folder_subfolders(dm_ctx *c, const char *dir, bool links, image_list *out)
{
    DIR *d = opendir(dir);
    dm_status s = DM_OK;
    struct stat sb, own;

    if (!d)
        return no_folder(c, dir);
    if (fstat(dirfd(d), &own))
        s = no_folder(c, dir);
    for (struct dirent *e; !s && !(s = next(c, d, dir, &e)) && e;) {
        char *path, *name = NULL;

        if (e->d_name[0] == '.')
            continue;
        if (!(path = folder_join(dir, e->d_name)) || !(name = strdup(e->d_name)))
            s = dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", dir);
        /* A class that is not seen would give all behind it another number. */
        else if ((links ? stat : lstat)(path, &sb))
            s = leads_nowhere(c, path);
        else if (S_ISDIR(sb.st_mode) && (sb.st_dev != own.st_dev || sb.st_ino != own.st_ino)) /* no link to dir */
            s = folder_add(c, out, name, 0), name = NULL;
        free(path);
        free(name);
    }
    closedir(d);
    folder_sort(out);
    return s;
}
