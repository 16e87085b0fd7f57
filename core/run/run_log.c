/* log.jsonl; see run_log.h. */
#include "run/run_log.h"
#include "text/json_text.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINE = 65536, TAIL = 4 * MAX_LINE };

struct dm_run_log { int fd; char *path; };

/* The next whole line, its length in *n; those that are too long or end without a newline are skipped. */
static bool next_line(FILE *f, char *line, size_t *n)
{
    bool whole = true;

    while (fgets(line, MAX_LINE, f)) {
        const size_t len = strlen(line);
        const bool ends = len && line[len - 1] == '\n';

        if (whole && ends) {
            *n = len;
            return true;
        }
        whole = ends;
    }
    return false;
}

/* *out is NULL unless the line is an object with a whole step; a line is never left out for want of memory. */
static dm_status parse_line(const char *line, size_t n, const char *path, json_t **out, int64_t *step, dm_err *err)
{
    const dm_status rc = dm_json_read(line, n, path, out, NULL);
    const json_t *s = json_object_get(*out, "step");

    if (json_is_integer(s)) {
        *step = json_integer_value(s);
    } else {
        json_decref(*out);
        *out = NULL;
    }
    return rc == DM_ENOMEM ? dm_error(err, rc, "out of memory: a line of '%s'", path) : DM_OK;
}

static dm_status copy_until(FILE *in, int64_t last, dm_file_out *out, dm_err *err)
{
    char *line = malloc(MAX_LINE);
    dm_status s = line ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: reading '%s'", out->path);
    int64_t step;
    size_t n;

    while (!s && next_line(in, line, &n)) {
        json_t *o;

        if (!(s = parse_line(line, n, out->path, &o, &step, err)) && o && step <= last)
            s = dm_file_put(out, line, n, err);
        json_decref(o);
    }
    if (!s && ferror(in))
        s = dm_file_error(err, "read", out->path);
    free(line);
    return s;
}

static dm_status open_read(const dm_folder *in, const char *name, FILE **out, dm_err *err)
{
    int fd;
    dm_status s = dm_folder_file(in, name, O_RDONLY, &fd, NULL, err);

    if (s)
        return s;
    if ((*out = fdopen(fd, "r")))
        return DM_OK;
    s = dm_file_error(err, "read", name);
    close(fd);
    return s;
}

static dm_status cut(const dm_folder *in, const char *name, int64_t last, dm_err *err)
{
    FILE *from = NULL;
    dm_file_out out = {.fd = -1};
    dm_status s = open_read(in, name, &from, err);

    if (s && s != DM_ENOENT)
        return s;
    s = dm_file_begin_in(&out, in, name, err);
    if (!s && from)
        s = copy_until(from, last, &out, err);
    if (!s)
        s = dm_file_commit(&out, err);
    dm_file_abort(&out);
    if (from)
        fclose(from);
    return s;
}

dm_status dm_run_log_open(const dm_folder *in, const char *name, int64_t last, dm_run_log **out, dm_err *err)
{
    dm_status s = cut(in, name, last, err);
    dm_run_log *l;

    if (s)
        return s;
    l = calloc(1, sizeof *l);
    if (!l || !(l->path = dm_folder_path(in, name))) {
        free(l);
        return dm_error(err, DM_ENOMEM, "out of memory: opening '%s'", name);
    }
    l->fd = -1;
    if ((s = dm_folder_file(in, name, O_WRONLY | O_APPEND, &l->fd, NULL, err))) {
        dm_run_log_close(l);
        return s;
    }
    *out = l;
    return DM_OK;
}

void dm_run_log_close(dm_run_log *l)
{
    if (!l)
        return;
    if (l->fd >= 0)
        close(l->fd);
    free(l->path);
    free(l);
}

dm_status dm_run_log_put(dm_run_log *l, int64_t step, const dm_field *f, int n, dm_err *err)
{
    json_t *o = dm_json_new();
    char *text;
    size_t len;
    dm_status s;

    json_object_set_new(o, "step", json_integer(step));
    for (int i = 0; i < n; i++) {
        const double v = f[i].value;
        const bool whole = fabs(v) < 9007199254740992.0 && v == floor(v);

        json_object_set_new(o, f[i].name,
                            !isfinite(v) ? json_null() : whole ? json_integer((json_int_t)v) : json_real(v));
    }
    text = dm_json_text(o, JSON_REAL_PRECISION(9));
    json_decref(o);
    if (!text)
        return dm_error(err, DM_ENOMEM, "out of memory: a line of '%s'", l->path);
    len = strlen(text);
    text[len] = '\n'; /* in place of the zero byte: one write, one line */
    s = dm_file_write(l->fd, l->path, text, len + 1, err);
    free(text);
    return s;
}

dm_status dm_run_log_read(const dm_folder *in, const char *name, const char *const *names, int n, double **values,
                          int64_t *rows, dm_err *err)
{
    FILE *f = NULL;
    char *line = malloc(MAX_LINE);
    double *v = NULL;
    int64_t step, r = 0;
    size_t cap = 0, len;
    dm_status s = open_read(in, name, &f, err);

    if (!s && !line)
        s = dm_error(err, DM_ENOMEM, "out of memory: reading '%s'", name);
    while (!s && next_line(f, line, &len)) {
        json_t *o;

        if (!(s = parse_line(line, len, name, &o, &step, err)) && o &&
            !dm_grow((void **)&v, (size_t)r, &cap, (size_t)n * sizeof *v))
            s = dm_error(err, DM_ENOMEM, "out of memory: %lld lines of '%s'", (long long)r, name);
        for (int i = 0; o && !s && i < n; i++) {
            const json_t *x = json_object_get(o, names[i]);

            v[r * n + i] = json_is_number(x) ? json_number_value(x) : NAN;
        }
        r += o && !s;
        json_decref(o);
    }
    if (!s && ferror(f))
        s = dm_file_error(err, "read", name);
    if (f)
        fclose(f);
    free(line);
    if (s) {
        free(v);
        return s;
    }
    *values = v;
    *rows = r;
    return DM_OK;
}

/* The numbers of a line over those of the lines before. */
static void take_last(const json_t *o, const char *const *names, int n, double *values)
{
    for (int i = 0; i < n; i++) {
        const json_t *x = json_object_get(o, names[i]);

        if (json_is_number(x) && isfinite(json_number_value(x)))
            values[i] = json_number_value(x);
    }
}

dm_status dm_run_log_last(const dm_folder *in, const char *name, const char *const *names, int n, double *values,
                          dm_err *err)
{
    char *line = malloc(MAX_LINE);
    FILE *f = NULL;
    int64_t step;
    size_t len;
    dm_status s = line ? open_read(in, name, &f, err) : dm_error(err, DM_ENOMEM, "out of memory: reading '%s'", name);

    for (int i = 0; i < n; i++)
        values[i] = NAN;
    if (!s && !fseek(f, -TAIL, SEEK_END))
        for (int c = fgetc(f); c != '\n' && c != EOF;)
            c = fgetc(f);
    else if (!s && errno != EINVAL) /* EINVAL: the file is shorter, and read from its beginning */
        s = dm_file_error(err, "read", name);
    while (!s && next_line(f, line, &len)) {
        json_t *o;

        if (!(s = parse_line(line, len, name, &o, &step, err)))
            take_last(o, names, n, values);
        json_decref(o);
    }
    if (!s && ferror(f))
        s = dm_file_error(err, "read", name);
    if (f)
        fclose(f);
    free(line);
    return s;
}
