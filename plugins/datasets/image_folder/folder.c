/* Walking a folder; see folder.h. */
#define _XOPEN_SOURCE 700
#include "folder.h"

#include "image_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 16, MAX_IMAGES = 1 << 28 };

static char *join(const char *a, const char *b)
{
    const size_t n = strlen(a) + strlen(b) + 2;
    char *p = malloc(n);

    if (p)
        snprintf(p, n, "%s/%s", a, b);
    return p;
}

/* Takes the path. */
static dm_status add_image(dm_ctx *c, image_list *l, char *path)
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
    l->image[l->n++] = (image){.path = path};
    return DM_OK;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static void leave_out(image_list *l, const char *name)
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
               : dm_fail(c, errno == ENOMEM ? DM_ENOMEM : DM_EIO, "unable to look at '%s': %s", path, strerror(errno));
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

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static int by_path(const void *a, const void *b) { return strcmp(((const image *)a)->path, ((const image *)b)->path); }

static dm_status no_folder(dm_ctx *c, const char *dir)
{
    const bool refused = errno == ENOENT || errno == ENOTDIR || errno == EACCES;

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

static dm_status walk(dm_ctx *c, const char *dir, bool webp, int depth, image_list *l)
{
    DIR *d = opendir(dir);
    dm_status s = DM_OK;
    struct stat sb;

    if (!d)
        return no_folder(c, dir);
    for (struct dirent *e; !s && !(s = next(c, d, dir, &e)) && e;) {
        char *path;

        if (e->d_name[0] == '.')
            continue;
        if (!(path = join(dir, e->d_name)))
            s = dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", dir);
        else if (stat(path, &sb)) {
            if (!(s = leads_nowhere(c, path)))
                leave_out(l, e->d_name);
        } else if (S_ISDIR(sb.st_mode))
            s = depth < MAX_DEPTH ? walk(c, path, webp, depth + 1, l)
                                  : dm_fail(c, DM_EINVAL, "'%s' is more than %d folders deep", path, MAX_DEPTH);
        else if (S_ISREG(sb.st_mode) && image_has_name(e->d_name, webp))
            s = add_image(c, l, path), path = NULL;
        else
            leave_out(l, e->d_name);
        free(path);
    }
    closedir(d);
    return s;
}

dm_status folder_list(dm_ctx *c, const char *dir, bool webp, image_list *out)
{
    struct stat sb;
    const bool file = !stat(dir, &sb) && S_ISREG(sb.st_mode) && image_has_name(dir, webp);
    char *one = file ? strdup(dir) : NULL;
    dm_status s;

    if (file)
        s = one ? add_image(c, out, one) : dm_fail(c, DM_ENOMEM, "out of memory: '%s'", dir);
    else
        s = walk(c, dir, webp, 0, out);
    if (!s && out->n)
        qsort(out->image, (size_t)out->n, sizeof *out->image, by_path);
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
            free(l->image[i].path);
    l->n = kept;
}

void folder_list_free(image_list *l)
{
    for (int64_t i = 0; i < l->n; i++)
        free(l->image[i].path);
    free(l->image);
}

static dm_status add_class(dm_ctx *c, class_list *out, const char *name)
{
    char **more = realloc(out->name, (size_t)(out->n + 1) * sizeof *more);

    out->name = more ? more : out->name;
    if (!more || !(more[out->n] = strdup(name)))
        return dm_fail(c, DM_ENOMEM, "out of memory for the name of class '%s'", name);
    out->n++;
    return DM_OK;
}

dm_status folder_classes(dm_ctx *c, const char *dir, class_list *out)
{
    DIR *d = opendir(dir);
    dm_status s = DM_OK;
    struct stat sb;

    if (!d)
        return no_folder(c, dir);
    for (struct dirent *e; !s && !(s = next(c, d, dir, &e)) && e;) {
        char *path;

        if (e->d_name[0] == '.')
            continue;
        if (!(path = join(dir, e->d_name)))
            s = dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", dir);
        else if (stat(path, &sb)) /* a class that is not seen would give all behind it another number */
            s = leads_nowhere(c, path);
        else if (S_ISDIR(sb.st_mode))
            s = add_class(c, out, e->d_name);
        free(path);
    }
    closedir(d);
    if (!s && out->n == 0)
        return dm_fail(c, DM_EINVAL, "labels: true, but '%s' has no subfolders", dir);
    if (!s)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
    return s;
}

dm_status folder_find_class(dm_ctx *c, const class_list *l, const char *below, const char *path, int32_t *label)
{
    const size_t n = strcspn(below, "/");

    for (int32_t i = 0; below[n] && i < l->n; i++)
        if (strlen(l->name[i]) == n && memcmp(l->name[i], below, n) == 0) {
            *label = i;
            return DM_OK;
        }
    return dm_fail(c, DM_EINVAL, "labels: true, but '%s' is in no subfolder of '%s'", path,
                   ((const cfg *)c->cfg)->folder);
}

void folder_classes_free(class_list *l)
{
    for (int32_t i = 0; i < l->n; i++)
        free(l->name[i]);
    free(l->name);
}
