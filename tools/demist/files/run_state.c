/* Runs at a glance; see run_state.h. The folder may be anybody's: nothing in it is followed, waited for or believed. */
#include "files/run_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "text/json_text.h"
#include "text/number.h"
#include "text/plain_text.h"
#include "experiment/resolved_lines.h"
#include "run/run_folder.h"
#include "run/run_log.h"

enum { CONFIG_BYTES = 1 << 20, DEPTH = 6, ENTRIES = 100000, NAME = 60 };

/* ---- looking ------------------------------------------------------------------------------- */

typedef struct counted { const char *run; int64_t bytes; int entries; } counted;

static dm_status count_files(counted *c, int fd, int depth, dm_err *err);

/* What is gone meanwhile, or may not be looked at, takes nothing. */
static dm_status count_one(counted *c, int in, const char *name, int depth, dm_err *err)
{
    struct stat st;
    int below;

    if (fstatat(in, name, &st, AT_SYMLINK_NOFOLLOW))
        return dm_path_unreachable() ? DM_OK : dm_file_error(err, "access what is in", c->run);
    if (S_ISREG(st.st_mode) && st.st_blocks > 0 && st.st_blocks < (INT64_MAX - c->bytes) / 512)
        c->bytes += st.st_blocks * 512;
    if (!S_ISDIR(st.st_mode) || depth == DEPTH)
        return DM_OK;
    if ((below = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return dm_path_unreachable() ? DM_OK : dm_file_error(err, "open what is in", c->run);
    return count_files(c, below, depth + 1, err);
}

/* What the files in a folder take on the disk; fd is closed. */
static dm_status count_files(counted *c, int fd, int depth, dm_err *err)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    dm_status rc = d ? DM_OK : dm_file_error(err, "read what is in", c->run);

    if (!d)
        close(fd);
    while (!rc && c->entries < ENTRIES && !(rc = dm_folder_next(d, c->run, &e, err)) && e) {
        c->entries++;
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            rc = count_one(c, dirfd(d), e->d_name, depth, err);
    }
    if (d)
        closedir(d);
    return rc;
}

/* When it was last written, 0 where it is no file. */
static dm_status look_written(const dm_folder *f, const char *name, int64_t *when, dm_err *err)
{
    dm_status rc;
    struct stat st;
    int fd;

    *when = 0;
    if ((rc = dm_folder_file(f, name, O_RDONLY, &fd, NULL, err)))
        return rc == DM_EIO ? rc : DM_OK;
    if (fstat(fd, &st))
        rc = dm_file_error(err, "look at", name);
    else
        *when = st.st_mtim.tv_sec;
    close(fd);
    return rc;
}

/* train.steps of the resolved experiment. */
static dm_status read_steps(const dm_folder *f, run_state *s, dm_err *err)
{
    dm_resolved_line l = {.section = ""};
    char key[DM_RESOLVED_KEY], value[32], *text;
    const char *at;
    dm_status rc = dm_file_slurp_in(f, DM_RUN_CONFIG, CONFIG_BYTES, &text, NULL, err);

    if (rc)
        return rc;
    for (at = text; dm_resolved_next(&at, &l);)
        if (!strcmp(dm_resolved_key(&l, key), "train.steps")) {
            snprintf(value, sizeof value, "%.*s", l.value_length, l.value);
            if (dm_number_int(value, &s->steps) != DM_NUMBER_OK)
                s->steps = 0;
        }
    free(text);
    return s->steps > 0 ? DM_OK : dm_error(err, DM_ECORRUPT, "'%s/%s' has no train.steps", f->path, DM_RUN_CONFIG);
}

static dm_status look(const dm_folder *f, run_state *s, dm_err *err)
{
    static const char *const names[] = {"step", "loss", "val_loss"};
    double last[3] = {NAN, NAN, NAN};
    int64_t *steps = NULL;
    int n = 0;
    const bool running = dm_run_in_use(f);
    dm_status rc;

    if ((rc = look_written(f, DM_RUN_LOG, &s->written, err)) ||
        (!s->written && (rc = look_written(f, DM_RUN_CONFIG, &s->written, err))))
        return rc;
    if ((rc = read_steps(f, s, err)) || (rc = dm_checkpoint_list(s->path, &steps, &n, err)))
        return rc;
    s->step = n ? steps[0] : 0;
    free(steps);
    if ((rc = dm_run_log_last(f, DM_RUN_LOG, names, 3, last, err)) && rc != DM_ENOENT)
        return rc;
    s->loss = last[1];
    s->held_out = last[2];
    if (running && last[0] > (double)s->step && last[0] < 1e15)
        s->step = (int64_t)last[0];
    s->state = running ? "running" : !n ? "empty" : s->step >= s->steps ? "done" : "stopped";
    return DM_OK;
}

dm_status run_state_look(char *path, run_state *s, dm_err *err)
{
    dm_folder f = {-1, NULL};
    counted c = {path, 0, 0};
    dm_err why = {0};
    dm_status rc;
    int fd;

    *s = (run_state){.path = path, .state = "unreadable", .loss = NAN, .held_out = NAN};
    if (!(rc = dm_folder_open(&f, path, &why))) {
        fd = openat(f.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rc = fd < 0 ? dm_file_error(&why, "open folder", path) : count_files(&c, fd, 0, &why);
        rc = rc ? rc : look(&f, s, &why);
    }
    dm_folder_close(&f);
    s->bytes = c.bytes;
    if (rc == DM_ENOMEM)
        return dm_error(err, rc, "%s", why.msg);
    if (rc)
        snprintf(s->problem, sizeof s->problem, "%.*s", (int)sizeof s->problem - 1, why.msg);
    return DM_OK;
}

void run_state_fini(run_state *s)
{
    free(s->path);
    s->path = NULL;
}

/* ---- telling ------------------------------------------------------------------------------- */

static const char *age_text(int64_t written, char *text, size_t n)
{
    static const struct { int64_t seconds; const char *unit; } units[] = {
        {86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    const int64_t age = (int64_t)time(NULL) - written;
    int k = 0;

    while (k < 3 && age < units[k].seconds)
        k++;
    if (!written)
        snprintf(text, n, "-");
    else
        snprintf(text, n, "%lld %s", (long long)(age > 0 ? age / units[k].seconds : 0), units[k].unit);
    return text;
}

static const char *size_text(int64_t bytes, char *text, size_t n)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double x = (double)bytes / 1000;
    int k = 0;

    for (; k < 3 && x >= 999.5; k++)
        x /= 1000;
    snprintf(text, n, x < 9.95 ? "%.1f %s" : "%.0f %s", x, units[k]);
    return text;
}

/* Characters that dm_plain_put makes of it. */
static int width_of(const char *text)
{
    int width = 0;

    for (int n; *text; text += n ? n : 1, width++)
        n = dm_utf8_length(text);
    return width;
}

void run_state_print_table(const run_state *s, int n, FILE *to)
{
    char loss[32], age[32], size[32], step[48];
    int width = 3;

    for (int i = 0; i < n; i++)
        if (width_of(s[i].path) > width)
            width = width_of(s[i].path);
    width = width < NAME ? width : NAME;
    fprintf(to, "%-*s  %-10s %16s  %10s  %7s  %8s\n", width, "run", "state", "step", "loss", "age", "size");
    for (int i = 0; i < n; i++) {
        const int w = width_of(s[i].path);

        snprintf(step, sizeof step, "%lld/%lld", (long long)s[i].step, (long long)s[i].steps);
        snprintf(loss, sizeof loss, isfinite(s[i].loss) ? "%.4g" : "-", s[i].loss);
        dm_plain_put(to, s[i].path);
        fprintf(to, "%*s  %-10s %16s  %10s  %7s  %8s\n", w < width ? width - w : 0, "", s[i].state, step, loss,
                age_text(s[i].written, age, sizeof age), size_text(s[i].bytes, size, sizeof size));
    }
}

/* Text; what is no UTF-8 as it is printed. */
static json_t *json_plain(const char *text)
{
    json_t *j = json_string(text);
    char *plain = j ? NULL : strdup(text);

    if (plain) {
        dm_plain_text(plain);
        j = json_string(plain);
    }
    free(plain);
    return j;
}

static json_t *json_of(const run_state *s)
{
    const time_t when = (time_t)s->written;
    json_t *o = json_object();
    char text[32] = "";
    struct tm tm;

    if (s->written && gmtime_r(&when, &tm))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(o, "run", json_plain(s->path));
    json_object_set_new(o, "state", json_string(s->state));
    json_object_set_new(o, "step", json_integer(s->step));
    json_object_set_new(o, "steps", json_integer(s->steps));
    json_object_set_new(o, "loss", isfinite(s->loss) ? json_real(s->loss) : json_null());
    json_object_set_new(o, "held_out_loss", isfinite(s->held_out) ? json_real(s->held_out) : json_null());
    json_object_set_new(o, "written", *text ? json_string(text) : json_null());
    json_object_set_new(o, "bytes", json_integer(s->bytes));
    if (*s->problem)
        json_object_set_new(o, "problem", json_plain(s->problem));
    return o;
}

dm_status run_state_print_json(const run_state *s, int n, FILE *to, dm_err *err)
{
    json_t *all;
    char *text;

    dm_json_begin();
    all = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(all, json_of(&s[i]));
    text = dm_json_text(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(all);
    if (!text)
        return dm_error(err, DM_ENOMEM, "out of memory for the list of runs");
    fprintf(to, "%s\n", text);
    free(text);
    return DM_OK;
}
