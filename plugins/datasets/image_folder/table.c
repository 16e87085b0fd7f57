/* Rows by the name of their file; see table.h. */
#define _POSIX_C_SOURCE 200809L
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_TABLE = 256 << 20, MAX_ROWS = 1 << 28 };

static dm_status no_memory(dm_ctx *c, const table *t)
{
    return dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", t->path);
}

dm_status table_add(dm_ctx *c, table *t, const char *file, const char *class, int64_t line)
{
    if (t->n == t->cap) {
        const int64_t cap = t->cap ? t->cap * 2 : 1024;
        row *more = cap <= MAX_ROWS ? realloc(t->row, (size_t)cap * sizeof *more) : NULL;

        if (!more)
            return no_memory(c, t);
        t->row = more;
        t->cap = cap;
    }
    row *r = &t->row[t->n];

    *r = (row){strdup(file), class ? strdup(class) : NULL, t->used, line};
    t->n++;
    return r->file && (r->class || !class) ? DM_OK : no_memory(c, t);
}

dm_status table_add_number(dm_ctx *c, table *t, double v)
{
    if (t->used == t->room) {
        const int64_t room = t->room ? t->room * 2 : 1024;
        float *more = realloc(t->numbers, (size_t)room * sizeof *more);

        if (!more)
            return no_memory(c, t);
        t->numbers = more;
        t->room = room;
    }
    t->numbers[t->used++] = (float)v;
    return DM_OK;
}

static int by_file(const void *a, const void *b) { return strcmp(((const row *)a)->file, ((const row *)b)->file); }

dm_status table_end(dm_ctx *c, table *t)
{
    if (t->n == 0)
        return dm_fail(c, DM_EINVAL, "'%s' has no rows", t->path);
    qsort(t->row, (size_t)t->n, sizeof *t->row, by_file);
    for (int64_t i = 1; i < t->n; i++) {
        const row *a = &t->row[i - 1], *b = &t->row[i];

        if (!strcmp(a->file, b->file))
            return dm_fail(c, DM_EINVAL, "'%s' has '%s' twice, at %lld and %lld", t->path, a->file,
                           (long long)(a->line < b->line ? a->line : b->line),
                           (long long)(a->line < b->line ? b->line : a->line));
    }
    return DM_OK;
}

int64_t table_find(const table *t, const char *file)
{
    const row key = {.file = (char *)(uintptr_t)file};
    const row *r = t->n ? bsearch(&key, t->row, (size_t)t->n, sizeof *t->row, by_file) : NULL;

    return r ? r - t->row : -1;
}

void table_close(table *t)
{
    for (int64_t i = 0; i < t->n; i++) {
        free(t->row[i].file);
        free(t->row[i].class);
    }
    free(t->row);
    free(t->numbers);
}

size_t table_mark(const void *text, size_t n) { return n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0; }

static dm_status read_text(dm_ctx *c, const table *t, char **text, size_t *n)
{
    FILE *f = fopen(t->path, "rb");
    struct stat st;
    dm_status s = DM_OK;

    if (!f)
        return dm_fail(c, errno == EIO ? DM_EIO : errno == ENOMEM ? DM_ENOMEM : DM_EINVAL, "unable to open '%s': %s",
                       t->path, strerror(errno));
    if (fstat(fileno(f), &st))
        s = dm_fail(c, DM_EIO, "unable to access '%s': %s", t->path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        s = dm_fail(c, DM_EINVAL, "'%s' is not a regular file", t->path);
    else if (st.st_size > MAX_TABLE)
        s = dm_fail(c, DM_EINVAL, "'%s' has %lld bytes; at most 256 MiB are read", t->path, (long long)st.st_size);
    else if (!(*text = malloc((size_t)st.st_size + 1)))
        s = no_memory(c, t);
    else if ((*n = fread(*text, 1, (size_t)st.st_size, f)) != (size_t)st.st_size)
        s = dm_fail(c, DM_EIO, "unable to read '%s': %s", t->path,
                    ferror(f) ? strerror(errno) : "it has become shorter");
    else
        (*text)[*n] = 0;
    fclose(f);
    return s;
}

dm_status table_open(dm_ctx *c, const char *path, const char *columns, table *out)
{
    const char *dot = strrchr(path, '.');
    char *text = NULL;
    size_t n = 0;
    dm_status s;

    out->path = path;
    if (!(s = read_text(c, out, &text, &n)))
        s = n >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2))
                ? dm_fail(c, DM_ECORRUPT, "'%s' is a text in UTF-16; save it as UTF-8", path)
            : dot && !strcasecmp(dot, ".json")
                ? table_parse_json(c, text, n, out)
                : table_parse_csv(c, text, n, columns, out);
    free(text);
    return s;
}
