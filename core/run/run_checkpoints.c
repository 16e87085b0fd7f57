/* The checkpoints of a run folder by their names; see run_folder.h. */
#include "run/run_folder.h"

#include "base/arena.h"
#include "text/number.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *dm_checkpoint_name(int64_t step, char name[DM_CHECKPOINT_NAME])
{
    snprintf(name, DM_CHECKPOINT_NAME, "checkpoints/step-%08lld.safetensors", (long long)step);
    return name;
}

char *dm_checkpoint_path(const char *dir, int64_t step)
{
    char name[DM_CHECKPOINT_NAME];

    return dm_run_path(dir, dm_checkpoint_name(step, name));
}

/* The step in a name that dm_checkpoint_path makes, or -1. */
static int64_t parse_name(const char *name)
{
    char same[64];
    long long step;

    if (strncmp(name, "step-", 5) || strlen(name) >= sizeof same || name[5] < '0' || name[5] > '9')
        return -1;
    errno = 0;
    step = strtoll(name + 5, NULL, 10);
    snprintf(same, sizeof same, "step-%08lld.safetensors", step);
    return errno || strcmp(name, same) ? -1 : step;
}

static int newest_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

static dm_status list_in(const dm_folder *f, int64_t **steps, int *n, dm_err *err)
{
    DIR *d = NULL;
    int64_t *list = NULL, step;
    size_t count = 0, cap = 0;
    dm_status s = dm_folder_list(f, "checkpoints", &d, err);
    bool there = false;

    if (s == DM_ENOENT && !(s = dm_folder_has(f, "checkpoints", &there, err)) && there)
        s = dm_error(err, DM_EINVAL,
                     "'%s/checkpoints' is not a folder, but a run keeps its checkpoints there; move it away", f->path);
    for (struct dirent *e; d && !s && !(s = dm_folder_next(d, f->path, &e, err)) && e;) {
        if ((step = parse_name(e->d_name)) < 0)
            continue;
        if (!dm_grow((void **)&list, count, &cap, sizeof *list))
            s = dm_error(err, DM_ENOMEM, "out of memory: checkpoints of '%s'", f->path);
        else
            list[count++] = step;
    }
    if (d)
        closedir(d);
    if (s) {
        free(list);
        return s;
    }
    if (count)
        qsort(list, count, sizeof *list, newest_first);
    *steps = list;
    *n = (int)count;
    return DM_OK;
}

dm_status dm_checkpoint_list(const char *dir, int64_t **steps, int *n, dm_err *err)
{
    dm_folder f = {-1, NULL};
    dm_status s;

    *steps = NULL;
    *n = 0;
    if ((s = dm_folder_open(&f, dir, err)) == DM_ENOENT)
        return DM_OK;
    if (!s)
        s = list_in(&f, steps, n, err);
    dm_folder_close(&f);
    return s;
}

static dm_status check_finite(const dm_st *f, dm_err *err)
{
    enum { CHUNK = 1 << 16 };
    float *x = malloc(CHUNK * sizeof *x);
    dm_status s = x ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory to check '%s'", dm_st_path(f));

    for (int64_t i = 0; i < dm_st_count(f) && !s; i++) {
        const dm_st_tensor *t = dm_st_at(f, i);

        for (int64_t at = 0, n; at < t->count && t->type == DM_ST_F32 && !s; at += n) {
            n = t->count - at < CHUNK ? t->count - at : CHUNK;
            s = dm_st_read_f32(f, t, at, n, x, err);
            for (int64_t k = 0; k < n && !s; k++)
                if (!isfinite(x[k]))
                    s = dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' has a value that is not finite", dm_st_path(f),
                                 t->name);
        }
    }
    free(x);
    return s;
}

/* The checksum tells, or, of a file that something else than demist wrote, what a run's checkpoint must have. */
static dm_status check_whole(const dm_st *f, dm_err *err)
{
    dm_status s = dm_st_verify(f, err);

    if (s || dm_st_meta(f, DM_ST_CHECKSUM))
        return s;
    if (!dm_st_meta(f, "experiment") || !dm_st_meta(f, "step"))
        return dm_error(err, DM_ECORRUPT, "'%s' has lost its metadata: it is not a checkpoint of a training run",
                        dm_st_path(f));
    return check_finite(f, err);
}

/* A file under another step's name would go on from where it is not. It is whole, so that passing over it, as over one
 * that is damaged, would be a choice that is the user's. Of one without a step loading tells. */
static dm_status check_step(const dm_st *f, int64_t step, dm_err *err)
{
    const char *says = dm_st_meta(f, "step");
    int64_t is;

    if (!says || (dm_number_int(says, &is) == DM_NUMBER_OK && is == step))
        return DM_OK;
    return dm_error(err, DM_ECORRUPT,
                    "'%s' holds step %.30s, not the step in its name: rename it back, or remove it",
                    dm_st_path(f), says);
}

static dm_status latest_in(const dm_folder *in, dm_st **out, int64_t *step, dm_err *skipped, dm_err *err)
{
    dm_err first = {DM_OK, ""}, e;
    bool renamed = false;
    int64_t *steps;
    dm_status s;
    int n, i;

    if ((s = list_in(in, &steps, &n, err)))
        return s;
    for (i = 0, s = DM_ENOENT; i < n; i++) {
        char name[DM_CHECKPOINT_NAME];

        if (!(s = dm_st_open_in(in, dm_checkpoint_name(steps[i], name), out, &e)) &&
            ((s = check_whole(*out, &e)) || (renamed = (s = check_step(*out, steps[i], &e)) != DM_OK))) {
            dm_st_close(*out);
            *out = NULL;
        }
        if (s == DM_OK)
            *step = steps[i];
        else if (!first.code)
            first = e;
        if (s != DM_ECORRUPT || renamed)
            break;
    }
    free(steps);
    if (s == DM_OK && skipped)
        *skipped = first;
    if (n == 0)
        return dm_error(err, DM_ENOENT, "'%s' has no checkpoint", in->path);
    if (s == DM_ECORRUPT && !renamed)
        return dm_error(err, s, "no checkpoint in '%s' is intact; the newest: %s", in->path, first.msg);
    return s ? dm_error(err, s, "%s", e.msg) : DM_OK;
}

dm_status dm_checkpoint_latest(const char *dir, dm_st **out, int64_t *step, dm_err *skipped, dm_err *err)
{
    dm_folder f = {-1, NULL};
    dm_status s;

    if (skipped)
        *skipped = (dm_err){DM_OK, ""};
    if ((s = dm_folder_open(&f, dir, err)) == DM_ENOENT)
        return dm_error(err, DM_ENOENT, "'%s' has no checkpoint", dir);
    if (!s)
        s = latest_in(&f, out, step, skipped, err);
    dm_folder_close(&f);
    return s;
}

static bool has(const int64_t *steps, int n, int64_t step)
{
    for (int i = 0; i < n; i++)
        if (steps[i] == step)
            return true;
    return false;
}

dm_status dm_checkpoint_prune(const dm_folder *f, int64_t step, int64_t keep, const int64_t *spared, int n_spared,
                              dm_err *err)
{
    int64_t *steps, kept = 0;
    dm_status s;
    int n;

    if ((s = list_in(f, &steps, &n, err)))
        return s;
    for (int i = 0; i < n && !s; i++) {
        char name[DM_CHECKPOINT_NAME];

        if (steps[i] <= step && !has(spared, n_spared, steps[i]) && kept++ >= keep)
            s = dm_folder_remove(f, dm_checkpoint_name(steps[i], name), err);
    }
    free(steps);
    return s;
}
