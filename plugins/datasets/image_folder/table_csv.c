/* Comma-separated values (RFC 4180); see table.h. */
#include "table.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 1024 };
typedef enum kind { FILE_NAME, CLASS, NUMBER, IGNORED } kind;

typedef struct csv {
    char *at, *end;
    int64_t line;
    bool row_ends;                 /* the last field was the last of its row */
} csv;

/* The next field, ended by NUL, in place; NULL where a quote has no end or something follows it. */
static char *field(csv *f)
{
    char *from = f->at, *to = f->at, *begin = f->at;

    if (from < f->end && *from == '"') {
        for (from++; from < f->end && (*from != '"' || (from + 1 < f->end && from[1] == '"')); from++) {
            from += *from == '"';
            f->line += *from == '\n' || (*from == '\r' && (from + 1 == f->end || from[1] != '\n'));
            *to++ = *from;
        }
        if (from++ >= f->end)
            return NULL;
    } else {
        while (from < f->end && !strchr(",\r\n", *from))
            *to++ = *from++;
    }
    if (from < f->end && !strchr(",\r\n", *from))
        return NULL;
    f->row_ends = from >= f->end || *from != ',';
    /* A row ends with \r\n, \n, or \r alone. */
    from += 1 + (from + 1 < f->end && *from == '\r' && from[1] == '\n');
    from = from < f->end ? from : f->end;
    f->at = from;
    *to = 0; /* what stood there has been read */
    return begin;
}

/* Without the blanks around it. */
static char *trim(char *s)
{
    char *end = s + strlen(s);

    while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    return s + strspn(s, " \t");
}

/* Is a name among those of a list separated by commas? */
static bool is_listed(const char *list, const char *name)
{
    const size_t n = strlen(name);

    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        const char *from = p + strspn(p, " ");
        size_t m = strcspn(from, ",");

        while (m && from[m - 1] == ' ')
            m--;
        if (m == n && !memcmp(from, name, n))
            return true;
    }
    return false;
}

static kind kind_of(const char *name, const char *columns)
{
    return !strcmp(name, "file") || !strcmp(name, "file_name") ? FILE_NAME
           : !strcmp(name, "class") || !strcmp(name, "label")  ? CLASS
           : !*columns || is_listed(columns, name)             ? NUMBER
                                                               : IGNORED;
}

/* Every name of `columns` must be a column of numbers. */
static dm_status check_listed(dm_ctx *c, const table *t, const char *columns, char *const *name, const kind *is,
                              int32_t n)
{
    for (const char *p = columns; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        char one[64];
        int32_t k = 0;

        if (snprintf(one, sizeof one, "%.*s", (int)strcspn(p, ","), p) >= (int)sizeof one)
            return dm_fail(c, DM_EINVAL, "columns: the name '%s...' is too long", one);
        while (k < n && (is[k] != NUMBER || strcmp(trim(one), name[k])))
            k++;
        if (k == n)
            return dm_fail(c, DM_EINVAL, "columns: '%s' has no column '%s' of numbers", t->path, trim(one));
    }
    return DM_OK;
}

static dm_status check_header(dm_ctx *c, table *t, const char *columns, char *const *name, const kind *is, int32_t n)
{
    int32_t files = 0, classes = 0;

    for (int32_t k = 0; k < n; k++) {
        files += is[k] == FILE_NAME;
        classes += is[k] == CLASS;
        t->width += is[k] == NUMBER;
        for (int32_t i = 0; i < k; i++)
            if (!strcmp(name[i], name[k]))
                return dm_fail(c, DM_EINVAL, "'%s' has two columns '%s'", t->path, name[k]);
    }
    if (files != 1 || classes > 1)
        return dm_fail(c, DM_EINVAL, "'%s': its first line must have one column 'file' (or 'file_name') and at most "
                                     "one 'class' (or 'label'), separated by commas; it has %d and %d",
                       t->path, (int)files, (int)classes);
    t->classes = classes;
    return check_listed(c, t, columns, name, is, n);
}

static dm_status read_header(dm_ctx *c, table *t, csv *f, const char *columns, char **name, kind *is, int32_t *n)
{
    for (*n = 0, f->row_ends = false; !f->row_ends; ++*n) {
        if (*n == MAX_COLUMNS)
            return dm_fail(c, DM_EINVAL, "'%s' has more than %d columns", t->path, MAX_COLUMNS);
        if (!(name[*n] = field(f)))
            return dm_fail(c, DM_ECORRUPT, "'%s': the quotes in line 1 do not match", t->path);
        name[*n] = trim(name[*n]);
        is[*n] = kind_of(name[*n], columns);
    }
    return check_header(c, t, columns, name, is, *n);
}

static dm_status read_number(dm_ctx *c, table *t, const char *text, int64_t line, const char *column)
{
    const size_t n = strspn(text, "+-.0123456789eE");
    char *end;
    const double v = strtod(text, &end);

    if (!n || text[n] || *end || !(fabs(v) <= (double)FLT_MAX))
        return dm_fail(c, DM_EINVAL, "'%s' line %lld: '%.40s' in column '%s' is not a number; columns says which "
                                     "columns are", t->path, (long long)line, text, column);
    return table_add_number(c, t, v);
}

/* The fields of a row, of which the file's name must be known before the numbers are added. */
static dm_status take_row(dm_ctx *c, table *t, char *const *value, int64_t line, char *const *name, const kind *is,
                          int32_t n)
{
    const char *file = NULL, *class = NULL;
    dm_status s;

    for (int32_t k = 0; k < n; k++) {
        file = is[k] == FILE_NAME ? value[k] : file;
        class = is[k] == CLASS ? value[k] : class;
    }
    if (!*file || (class && !*class))
        return dm_fail(c, DM_EINVAL, "'%s' line %lld: the %s is empty", t->path, (long long)line,
                       *file ? "class" : "file's name");
    s = table_add(c, t, file, class, line);
    for (int32_t k = 0; k < n && !s; k++)
        s = is[k] == NUMBER ? read_number(c, t, value[k], line, name[k]) : DM_OK;
    return s;
}

static dm_status read_row(dm_ctx *c, table *t, csv *f, char *const *name, const kind *is, int32_t n)
{
    char *value[MAX_COLUMNS];
    const int64_t line = f->line;
    int32_t k = 0;

    for (f->row_ends = false; !f->row_ends; k++) {
        char *v = field(f);

        if (!v)
            return dm_fail(c, DM_ECORRUPT, "'%s' line %lld: the quotes do not match", t->path, (long long)line);
        if (k < n)
            value[k] = trim(v);
    }
    f->line++;
    if (k == 1 && !*value[0])
        return DM_OK; /* a blank line */
    if (k != n)
        return dm_fail(c, DM_EINVAL, "'%s' line %lld has %d values; there are %d columns", t->path, (long long)line,
                       (int)k, (int)n);
    return take_row(c, t, value, line, name, is, n);
}

dm_status table_parse_csv(dm_ctx *c, char *text, size_t n, const char *columns, table *t)
{
    csv f = {text + table_mark(text, n), text + n, 1, false};
    char *name[MAX_COLUMNS];
    kind is[MAX_COLUMNS];
    int32_t columns_there;
    dm_status s;

    if (memchr(text, 0, n))
        return dm_fail(c, DM_ECORRUPT, "'%s' is not a text: it has a zero byte", t->path);
    if ((s = read_header(c, t, &f, columns, name, is, &columns_there)))
        return s;
    if (!t->classes && !t->width)
        return dm_fail(c, DM_EINVAL, "'%s' has neither a class nor numbers for the images", t->path);
    for (f.line = 2; f.at < f.end && !s;)
        s = read_row(c, t, &f, name, is, columns_there);
    return s ? s : table_end(c, t);
}
