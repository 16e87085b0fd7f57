/* Classes from subfolders, tables and archives; see labels.h. */
#define _POSIX_C_SOURCE 200809L
#include "labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASS = 999999, MAX_CLS = 64, MAX_JSON = 64 << 20 };

static dm_status no_memory(dm_ctx *c, const source *s)
{
    return dm_fail(c, DM_ENOMEM, "out of memory: classes of '%s'", s->dir);
}

static dm_status from_table(dm_ctx *c, source *s, const table *t)
{
    int64_t missing = 0, first = 0, used = 0;

    for (int64_t i = 0; i < s->list.n; i++) {
        image *m = &s->list.image[i];

        m->row = table_find(t, source_name(s, m));
        if (m->row < 0)
            first = missing++ ? first : i;
        else if (t->classes && !(m->class = strdup(t->row[m->row].class)))
            return no_memory(c, s);
        used += m->row >= 0;
    }
    if (missing)
        return dm_fail(c, DM_EINVAL, "'%s' has no row for '%s', and for %lld of the %lld images of '%s' in all",
                       t->path, source_name(s, &s->list.image[first]), (long long)missing, (long long)s->list.n,
                       s->dir);
    if (used < t->n)
        c->host->log(c, "%lld of %lld rows of '%s' are of no image of '%s'", (long long)(t->n - used), (long long)t->n,
                     t->path, s->dir);
    return DM_OK;
}

static dm_status from_json(dm_ctx *c, source *s, table *t)
{
    unsigned char *text = NULL;
    size_t n;
    dm_status rc;

    t->path = s->dir;
    if ((rc = image_archive_read(c, &s->archive, s->labels, "dataset.json", MAX_JSON, &text, &n)))
        return rc;
    rc = table_parse_json(c, (const char *)text, n, t);
    free(text);
    return rc ? rc : from_table(c, s, t);
}

/* Of a name, what webdataset's files of one example share: all before the first dot of the last part. */
static size_t key_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;

    return (size_t)(last - path) + strcspn(last, ".");
}

static int by_key(const void *a, const void *b)
{
    const char *x = ((const image *)a)->path, *y = ((const image *)b)->path;
    const size_t n = key_of(x), m = key_of(y);
    const int d = memcmp(x, y, n < m ? n : m);

    return d ? d : n < m ? -1 : n > m;
}

static dm_status read_cls(dm_ctx *c, const source *s, const image *file, image *m)
{
    unsigned char *text = NULL;
    const char *word;
    size_t n, used;
    dm_status rc;

    if ((rc = image_archive_read(c, &s->archive, file->at, source_name(s, file), MAX_CLS, &text, &n)))
        return rc;
    for (used = n; used && strchr(" \r\n\t", text[used - 1]) && text[used - 1];)
        text[--used] = 0;
    word = (const char *)text + table_mark(text, used);
    if (!*word || strlen((char *)text) != used)
        rc = dm_fail(c, DM_ECORRUPT, "'%s' is not a class", file->path);
    else if (!(m->class = strdup(word)))
        rc = no_memory(c, s);
    free(text);
    return rc;
}

static dm_status from_cls(dm_ctx *c, source *s)
{
    dm_status rc = DM_OK;

    qsort(s->told.image, (size_t)s->told.n, sizeof *s->told.image, by_key);
    for (int64_t i = 1; i < s->told.n; i++)
        if (!by_key(&s->told.image[i - 1], &s->told.image[i]))
            return dm_fail(c, DM_ECORRUPT,
                           "'%s' and '%s' both give the class of one image, since names are compared up to the first "
                           "dot; rename them",
                           s->told.image[i - 1].path, s->told.image[i].path);
    for (int64_t i = 0; i < s->list.n && !rc; i++) {
        image *m = &s->list.image[i];
        const image *file = bsearch(m, s->told.image, (size_t)s->told.n, sizeof *s->told.image, by_key);

        rc = file ? read_cls(c, s, file, m)
                  : dm_fail(c, DM_EINVAL, "labels: true, but '%s' has no .cls file beside it", m->path);
    }
    return rc;
}

static dm_status from_subfolders(dm_ctx *c, source *s)
{
    int64_t below = 0;

    for (int64_t i = 0; i < s->list.n; i++)
        below += strchr(source_name(s, &s->list.image[i]), '/') != NULL;
    if (!below)
        return dm_fail(c, DM_EINVAL, "labels: true, but '%s' has no subfolders", s->dir);
    for (int64_t i = 0; i < s->list.n; i++) {
        image *m = &s->list.image[i];
        const char *name = source_name(s, m);
        const size_t n = strcspn(name, "/");

        if (!name[n])
            return dm_fail(c, DM_EINVAL, "labels: true, but '%s' is in no subfolder of '%s'", m->path, s->dir);
        if (!(m->class = strndup(name, n)))
            return no_memory(c, s);
    }
    return DM_OK;
}

dm_status labels_read(dm_ctx *c, source *s, table *t)
{
    const bool labels = ((const cfg *)c->cfg)->labels;

    if (t->path && t->classes && labels)
        return dm_fail(c, DM_EINVAL, "labels: true takes the class from subfolders, but '%s' has classes; give one of "
                                     "both", t->path);
    if (t->path) {
        const dm_status rc = from_table(c, s, t);

        return rc || !labels ? rc : from_subfolders(c, s);
    }
    return !labels ? DM_OK : s->labels >= 0 ? from_json(c, s, t) : s->told.n ? from_cls(c, s) : from_subfolders(c, s);
}

/* ---- the classes ------------------------------------------------------------- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* 0 to 999,999 as it is usually written, or -1. */
static int32_t number_of(const char *text)
{
    const size_t n = strlen(text);

    return n > 6 || !n || strspn(text, "0123456789") != n || (*text == '0' && n > 1) ? -1 : (int32_t)atoi(text);
}

/* Numbers that are of no image make a class each, so a number in place of a name is worth a line. */
static dm_status tell_unused(dm_ctx *c, const source *s, int32_t n)
{
    bool *is = calloc((size_t)n, sizeof *is);
    int32_t used = 0;

    if (!is)
        return no_memory(c, s);
    for (int64_t i = 0; i < s->list.n; i++) {
        bool *one = &is[number_of(s->list.image[i].class)];

        used += !*one;
        *one = true;
    }
    if (used < n / 2)
        c->host->log(c, "classes of '%s' are numbered up to %d, so there are %d, and only %d of them have an image",
                     s->dir, (int)n - 1, (int)n, (int)used);
    free(is);
    return DM_OK;
}

/* Their count where all are numbers, else 0. */
static int32_t count_numbers(const source *s)
{
    int32_t most = -1;

    for (int64_t i = 0; i < s->list.n; i++) {
        const int32_t v = number_of(s->list.image[i].class);

        if (v < 0)
            return 0;
        most = v > most ? v : most;
    }
    return most + 1;
}

static dm_status take_name(dm_ctx *c, const source *s, const char *name, class_list *l)
{
    char **more = realloc(l->name, (size_t)(l->n + 1) * sizeof *more);

    if (!more)
        return no_memory(c, s);
    l->name = more;
    if (!(more[l->n] = strdup(name)))
        return no_memory(c, s);
    l->n++;
    return DM_OK;
}

/* The different ones of sorted names. */
static dm_status take_names(dm_ctx *c, const source *s, char *const *sorted, int64_t n, class_list *l)
{
    dm_status rc = DM_OK;

    for (int64_t i = 0; i < n && !rc; i++)
        if (i == 0 || strcmp(sorted[i - 1], sorted[i])) {
            rc = l->n > MAX_CLASS ? dm_fail(c, DM_EINVAL, "the images of '%s' have more than %d classes", s->dir,
                                            MAX_CLASS + 1)
                                  : take_name(c, s, sorted[i], l);
        }
    return rc;
}

dm_status labels_list(dm_ctx *c, const source *s, const table *t, class_list *out)
{
    const bool subfolders = !(t->path && t->classes) && !s->told.n;
    image_list below = {0};
    char **all;
    dm_status rc = DM_OK;

    if (!subfolders && (out->n = count_numbers(s)) > 0)
        return tell_unused(c, s, out->n);
    if (subfolders && !s->archive.fd && (rc = folder_subfolders(c, s->dir, ((const cfg *)c->cfg)->links, &below)))
        goto out;
    if (!(all = malloc((size_t)(s->list.n + below.n + 1) * sizeof *all))) {
        rc = no_memory(c, s);
        goto out;
    }
    for (int64_t i = 0; i < s->list.n + below.n; i++)
        all[i] = i < s->list.n ? s->list.image[i].class : below.image[i - s->list.n].path;
    qsort(all, (size_t)(s->list.n + below.n), sizeof *all, by_name);
    rc = take_names(c, s, all, s->list.n + below.n, out);
    free(all);
out:
    folder_list_free(&below);
    return rc;
}

dm_status labels_number(dm_ctx *c, const class_list *l, source *s)
{
    for (int64_t i = 0; i < s->list.n; i++) {
        image *m = &s->list.image[i];
        char *const *found = l->name ? bsearch(&m->class, l->name, (size_t)l->n, sizeof *l->name, by_name) : NULL;

        m->label = l->name ? (found ? (int32_t)(found - l->name) : -1) : number_of(m->class);
        if (m->label < 0 || m->label >= l->n)
            return dm_fail(c, DM_EINVAL, "the class of '%s', '%.60s', is not one of the %d of the train split", m->path,
                           m->class, (int)l->n);
    }
    return DM_OK;
}

void labels_free(class_list *l)
{
    for (int32_t i = 0; l->name && i < l->n; i++)
        free(l->name[i]);
    free(l->name);
}
