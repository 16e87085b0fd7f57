/* dm_convert: a UNet of improved-diffusion or guided-diffusion as a checkpoint of demist, with the experiment that is
 * the same model. What those projects have as defaults stands in it, and overrides change it. */
#include "interop/read/adm.h"
#include "base/folder.h"
#include "base/sized.h"
#include "session/session.h"
#include "session/data_meta.h"
#include "session/session_read.h"
#include "interop/write/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 16384 };

/* ---- the experiment ------------------------------------------------------------------------ */

static void print_flags(FILE *to, const char *key, const bool *v, int n)
{
    fprintf(to, "  %s: [", key);
    for (int i = 0; i < n; i++)
        fprintf(to, "%s%d", i ? ", " : "", v[i]);
    fprintf(to, "]\n");
}

static void print_network(const dm_adm *a, FILE *to)
{
    fprintf(to, "network:\n  use: unet\n  channels: [");
    for (int i = 0; i < a->n; i++)
        fprintf(to, "%s%lld", i ? ", " : "", (long long)a->level[i]);
    fprintf(to, "]\n  layers: %d\n", a->layers);
    print_flags(to, "attend", a->attend, a->n);
    print_flags(to, "attend_up", a->attend_up, a->n);
    print_flags(to, "down_resnet", a->down_resnet, a->n);
    print_flags(to, "up_resnet", a->up_resnet, a->n);
    fprintf(to, "  scale_shift: %s\n", a->scale_shift ? "true" : "false");
    fprintf(to, "  groups: 32\n  mid_groups: 32\n  eps: 1e-5\n  dropout: 0\n  padding: 1\n  heads: 4\n");
    fprintf(to, "  flip_sin_to_cos: true\n  freq_shift: 0\n  time_in: %lld\n  time_dim: %lld\n",
            (long long)(a->time_in == a->level[0] ? 0 : a->time_in), (long long)a->wide);
    fprintf(to, "  class_embed: %s\n  class_rows: %lld\n", a->classes ? "table" : "none", (long long)a->classes);
}

static char *print_experiment(const dm_adm *a)
{
    const bool learned = a->outputs != a->channels;
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);

    if (!to)
        return NULL;
    fprintf(to, "name: converted\n");
    print_network(a, to);
    fprintf(to, "schedule: {use: linear, timesteps: 1000, per_1000: true}\n");
    fprintf(to, "objective: {use: %s}\n", learned ? "hybrid" : "simple, predict: eps");
    fprintf(to, "sampler: {use: ddpm, variance: %s, steps: 0, clip: 1}\ngrid: {use: uniform, spacing: linspace}\n",
            learned ? "learned" : "fixed_large");
    if (fclose(to)) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- the weights --------------------------------------------------------------------------- */

typedef struct piece {
    const dm_st *file;
    const dm_adm_tensor *t;
    int64_t heads;
    bool by_part, allow_nan;       /* all queries before all keys, not head by head */
} piece;

/* Where row r of a query, key or value stands among all three. */
static int64_t row_of(const piece *p, int64_t r)
{
    const int64_t c = p->t->shape.dim[0], wide = c / p->heads;

    if (p->t->part < 0)
        return r;
    return p->by_part ? p->t->part * c + r : (r / wide * 3 + p->t->part) * wide + r % wide;
}

static dm_status fill(void *user, uint64_t from, void *to, size_t n, dm_err *err)
{
    const piece *p = user;
    float *v = to;
    int64_t at = (int64_t)(from / sizeof *v), left = (int64_t)(n / sizeof *v), columns = 1;
    dm_status rc = DM_OK;

    for (int32_t i = 1; i < p->t->shape.rank; i++)
        columns *= p->t->shape.dim[i];
    if (p->t->part < 0)
        rc = dm_st_read_f32(p->file, p->t->tensor, at, left, v, err);
    for (; p->t->part >= 0 && left && !rc;) {
        const int64_t column = at % columns, run = left < columns - column ? left : columns - column;

        rc = dm_st_read_f32(p->file, p->t->tensor, row_of(p, at / columns) * columns + column, run, v, err);
        v += run;
        at += run;
        left -= run;
    }
    v = to;
    for (size_t i = 0; i < n / sizeof *v && !rc && !p->allow_nan; i++)
        if (!isfinite(v[i]))
            rc = dm_error(err, DM_ECORRUPT,
                          "'%s': tensor '%s' has a value that is not finite; allow_nan=true takes it as it is",
                          dm_st_path(p->file), p->t->theirs);
    return rc;
}

static dm_status write_checkpoint(const char *path, const dm_st_source *t, int64_t n, const dm_session *s, bool sized,
                                  dm_err *err)
{
    char *text = dm_experiment_print(s->experiment, false);
    dm_st_pair meta[DM_DATA_PAIRS + 6];
    dm_data_meta data;
    int k;
    dm_status rc;

    if (!text)
        return dm_error(err, DM_ENOMEM, "out of memory for the experiment");
    k = dm_data_meta_write(&s->data, &data, meta);
    meta[k++] = (dm_st_pair){"format", "demist checkpoint 1"};
    meta[k++] = (dm_st_pair){"version", dm_version()};
    meta[k++] = (dm_st_pair){DM_ST_CHECKSUM, ""};
    meta[k++] = (dm_st_pair){"step", "0"};
    meta[k++] = (dm_st_pair){"experiment", text};
    if (!sized)
        meta[k++] = (dm_st_pair){"not_sampled", "the size of its images is not known; convert it again with --size"};
    rc = dm_st_write(path, t, n, meta, k, err);
    free(text);
    return rc;
}

static dm_status write_weights(const dm_session *s, const dm_st *f, const dm_adm_tensor *t, int64_t n, const char *to,
                               const dm_convert_options *o, dm_err *err)
{
    const dm_section *net = &s->experiment->section[DM_SEC_NETWORK];
    const int64_t heads = dm_value_int(net, "heads"), head_dim = dm_value_int(net, "head_dim");
    dm_st_source *out = calloc((size_t)n, sizeof *out);
    piece *p = calloc((size_t)n, sizeof *p);
    dm_status rc = out && p ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the weights");

    for (int64_t i = 0; i < n && !rc; i++) {
        const int64_t c = t[i].shape.dim[0], own = heads ? heads : head_dim ? c / head_dim : 1;

        if (t[i].part >= 0 && (own < 1 || c % own || (!heads && head_dim && c % head_dim)))
            rc =
                dm_error(err, DM_EINVAL, "tensor '%s' has %lld channels, no multiple of network.%s = %lld", t[i].theirs,
                         (long long)c, heads ? "heads" : "head_dim", (long long)(heads ? heads : head_dim));
        p[i] = (piece){f, &t[i], own, o->by_part, s->experiment->run.allow_nan};
        out[i] = (dm_st_source){.name = t[i].ours, .type = DM_ST_F32, .shape = t[i].shape, .fill = fill, .user = &p[i]};
    }
    if (!rc)
        rc = write_checkpoint(to, out, n, s, o->height > 0, err);
    free(out);
    free(p);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void log_error(void *user, const char *text) { dm_session_log(user, DM_LOG_ERROR, "%s", text); }

static void say_what(dm_session *s, const dm_adm *a, const char *to)
{
    dm_session_log(s, DM_LOG_INFO, "%d levels of %d blocks, %lld to %lld channels%s%s%s", a->n, a->layers,
                   (long long)a->level[0], (long long)a->level[a->n - 1], a->scale_shift ? ", scale-shift norm" : "",
                   a->classes ? ", classes" : "", a->outputs != a->channels ? ", learned variance" : "");
    dm_session_log(s, DM_LOG_INFO, "checkpoint: %s", to);
}

static dm_status convert(dm_session *s, const dm_st *f, const dm_adm *a, dm_arena *arena, const char *to,
                         const dm_convert_options *o, dm_err *err)
{
    /* Of any size that all levels can halve. */
    const int64_t side = (int64_t)1 << (a->n - 1);
    dm_adm_tensor *t;
    int64_t n;
    dm_status rc;

    s->data = (dm_data_info){.size = sizeof s->data,
                             .classes = (int32_t)a->classes,
                             .levels = 256,
                             .low = -1,
                             .high = 1,
                             .shape = {3, {a->channels, o->height ? o->height : side, o->height ? o->width : side}}};
    if (!dm_uses(&s->experiment->section[DM_SEC_NETWORK], "unet"))
        return dm_error(err, DM_EINVAL, "the model is a unet; no other network can hold its weights");
    if (s->data.shape.dim[1] % side || s->data.shape.dim[2] % side)
        return dm_error(err, DM_EINVAL, "the size %lld x %lld is not possible: %d levels need multiples of %lld",
                        (long long)s->data.shape.dim[1], (long long)s->data.shape.dim[2], a->n, (long long)side);
    if ((rc = dm_adm_match(f, a, arena, &t, &n, log_error, s, err)) || (rc = write_weights(s, f, t, n, to, o, err)))
        return rc;
    say_what(s, a, to);
    return DM_OK;
}

dm_status dm_convert(const char *from, const char *to, const dm_convert_options *options, dm_err *err)
{
    dm_arena *arena = NULL;
    char *text = NULL;
    dm_path_kind there;
    dm_session s = {0};
    dm_st *f = NULL;
    dm_convert_options o;
    dm_adm a;
    dm_status rc;

    if ((rc = DM_SIZED_READ(dm_convert_options, &o, options, err)))
        return rc;
    if (!from || !to)
        return dm_error(err, DM_EINVAL, "%s is NULL; give a file to read and one to write", from ? "to" : "from");
    if (o.height < 0 || o.height > MOST_SIDE || o.width < 0 || o.width > MOST_SIDE || !o.height != !o.width)
        return dm_error(err, DM_EINVAL, "images of %lld x %lld; a side is from 1 to %d, or both are 0",
                        (long long)o.height, (long long)o.width, (int)MOST_SIDE);
    if (!(arena = dm_arena_new()))
        return dm_error(err, DM_ENOMEM, "out of memory for '%s'", from);
    if ((rc = dm_path_look(to, &there, err)))
        ;
    else if (there != DM_PATH_NOTHING && !o.overwrite)
        rc = dm_error(err, DM_EINVAL, "'%s' already exists; choose another name, or set overwrite", to);
    else if (!(rc = dm_st_open(from, &f, err)) && !(rc = dm_adm_read(f, &a, err)))
        rc = (text = print_experiment(&a)) ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for an experiment");
    if (!rc && !(rc = dm_session_read_text(&s, text, from, o.overrides, o.n_overrides, o.callbacks, err))) {
        rc = convert(&s, f, &a, arena, to, &o, err);
        dm_session_fini(&s);
    }
    dm_st_close(f);
    free(text);
    dm_arena_free(arena);
    return rc;
}
