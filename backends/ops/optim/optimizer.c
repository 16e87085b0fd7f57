/* The optimizer's recorded launches; see core/device/kernels.h and kernels/optim/adamw.cl. */
#include "base/arena.h"
#include "device/kernels.h"
#include "ops/launch/portable.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* As the kernels number them. */
enum { DECAY, BETA1, REST1, BETA2, REST2, RATE, ROOT, EPS, CLIP, EMA, STEP = EMA + 4, LOSS, SCALARS = 16 };
enum { NORM, FACTOR, BAD, BAD_STEP, STATE = 4 };
/* Elements of a first sum; first sums of a second one. */
enum { CPU_SQUARES = 16384, GPU_SQUARES = 1024, SECOND = 64 };

static const char file[] = "optim/adamw.cl";

struct dm_optimizer {
    dm_device *d;
    dm_optimizer_arrays a;
    dm_buf *scalars, *state, *first, *second;
    dm_buf **windows;              /* on what a kernel takes a part of */
    size_t n_windows, cap_windows;
    dm_cmds *cmds;
};

static dm_status record(dm_optimizer *o, const char *name, int64_t items, const dm_karg *args, int n, double flops,
                        double bytes, dm_err *err)
{
    const dm_device_info *d = dm_device_get_info(o->d);
    const dm_range r = dm_over(d, items);
    dm_kernel *k;
    const dm_status s = dm_kernel_get(o->d, file, name, dm_lanes_option(d), &k, err);

    return s != DM_OK ? s : dm_cmds_launch(o->cmds, k, &r, args, n, name, (dm_work){flops, bytes}, err);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Floats from `at` on that lie in one allocation. */
static size_t run_of(const dm_buf *b, size_t at) { return dm_buf_run(b, at * sizeof(float)) / sizeof(float); }

/* n floats from `at` on, as a kernel takes them. */
static dm_status take(dm_optimizer *o, dm_buf *b, size_t at, size_t n, dm_buf **out, dm_err *err)
{
    dm_status s;

    *out = b;
    if (!b || (!at && dm_buf_run(b, 0) == dm_buf_bytes(b)))
        return DM_OK;
    if (!dm_grow((void **)&o->windows, o->n_windows, &o->cap_windows, sizeof(dm_buf *)))
        return dm_error(err, DM_ENOMEM, "out of memory for the optimizer");
    if ((s = dm_buf_window(b, at * sizeof(float), n * sizeof(float), out, err)) == DM_OK)
        o->windows[o->n_windows++] = *out;
    return s;
}

/* AdamW of n weights from `at` on, whose moments are at `moments`. */
static dm_status record_adamw(dm_optimizer *o, size_t at, size_t moments, size_t n, dm_err *err)
{
    const dm_optimizer_arrays *a = &o->a;
    const bool keeps_g = a->part || a->keeps_g;
    const int64_t each = dm_chunk(dm_device_get_info(o->d), (int64_t)n);
    dm_buf *w, *g, *m, *v, *ema[4];
    dm_status s = take(o, a->w, at, n, &w, err);

    s = s != DM_OK ? s : take(o, a->g, at, n, &g, err);
    s = s != DM_OK ? s : take(o, a->m, moments, n, &m, err);
    s = s != DM_OK ? s : take(o, a->v, moments, n, &v, err);
    for (int i = 0; i < 4 && s == DM_OK; i++)
        s = take(o, a->ema[i], at, n, &ema[i], err);
    return s != DM_OK ? s
                      : record(o, "adamw", dm_div_up((int64_t)n, each),
                               DM_KARGS(DM_KB(w), DM_KB(g), DM_KB(m), DM_KB(v), DM_KB(ema[0]), DM_KB(ema[1]),
                                        DM_KB(ema[2]), DM_KB(ema[3]), DM_KB(o->scalars), DM_KB(o->state), DM_KI(n),
                                        DM_KI(each), DM_KI(keeps_g)),
                               (15.0 + 3 * a->n_ema) * (double)n, (32.0 - 4 * keeps_g + 8 * a->n_ema) * (double)n,
                               err);
}

/* AdamW, which makes g zero for the next step where it is to be. */
static dm_status record_update(dm_optimizer *o, dm_err *err)
{
    const dm_optimizer_arrays *a = &o->a;
    const size_t from = a->part ? a->from : 0, count = a->part ? a->own : a->count;
    dm_status s = DM_OK;
    size_t n;

    for (size_t at = 0; at < count && s == DM_OK; at += n) {
        n = least(count - at, least(run_of(a->w, from + at), run_of(a->m, at)));
        s = record_adamw(o, from + at, at, n, err);
    }
    return s != DM_OK || !a->part || a->keeps_g ? s
                                                : dm_cmds_zero(o->cmds, a->g, 0, a->count * sizeof(float), err);
}

/* Of the gradient in each allocation the first sums, which begin where a window may; *first: how many there are,
 * those between that are 0 included. recording: not only counted. */
static dm_status square(dm_optimizer *o, int64_t chunk, bool recording, int64_t *first, dm_err *err)
{
    const dm_optimizer_arrays *a = &o->a;
    const size_t step = dm_device_get_info(o->d)->align / sizeof(float);
    dm_status s = DM_OK;
    size_t n, done = 0;

    for (size_t at = 0; at < a->count && s == DM_OK; at += n) {
        const size_t to = (done + step - 1) / step * step;
        dm_buf *g, *sums;
        int64_t items;

        n = least(a->count - at, run_of(a->g, at));
        items = dm_div_up((int64_t)n, chunk);
        done = to + (size_t)items;
        if (!recording)
            continue;
        s = take(o, a->g, at, n, &g, err);
        s = s != DM_OK ? s : take(o, o->first, to, (size_t)items, &sums, err);
        s = s != DM_OK ? s
                       : record(o, "squares", items, DM_KARGS(DM_KB(g), DM_KB(sums), DM_KI(n), DM_KI(chunk)),
                                2 * (double)n, 4 * (double)n, err);
    }
    *first = (int64_t)done;
    return s;
}

static dm_status record_all(dm_optimizer *o, int64_t chunk, int64_t second, dm_err *err)
{
    int64_t first;
    dm_status s = square(o, chunk, true, &first, err);

    if (s == DM_OK)
        s = record(o, "sums", second,
                   DM_KARGS(DM_KB(o->first), DM_KB(o->second), DM_KI(first), DM_KI(SECOND)), (double)first,
                   4.0 * (double)first, err);
    if (s == DM_OK)
        s = record(o, "judge", 1,
                   DM_KARGS(DM_KB(o->second), DM_KB(o->scalars), DM_KB(o->a.loss), DM_KB(o->state), DM_KI(second)),
                   0, 0, err);
    return s != DM_OK ? s : record_update(o, err);
}

static dm_status build(dm_optimizer *o, dm_err *err)
{
    const int64_t chunk = dm_device_get_info(o->d)->cpu ? CPU_SQUARES : GPU_SQUARES;
    int64_t first, second;
    dm_status s = square(o, chunk, false, &first, err);

    second = dm_div_up(first, SECOND);
    if (s == DM_OK)
        s = dm_buf_new(o->d, SCALARS * sizeof(float), "optimizer", &o->scalars, err);

    if (s == DM_OK)
        s = dm_buf_new(o->d, STATE * sizeof(float), "optimizer", &o->state, err);
    if (s == DM_OK)
        s = dm_buf_new(o->d, (size_t)first * sizeof(float), "optimizer", &o->first, err);
    if (s == DM_OK)
        s = dm_buf_zero(o->first, 0, (size_t)first * sizeof(float), err);
    if (s == DM_OK)
        s = dm_buf_new(o->d, (size_t)second * sizeof(float), "optimizer", &o->second, err);
    if (s == DM_OK)
        s = dm_cmds_new(o->d, &o->cmds, err);
    if (s == DM_OK)
        s = record_all(o, chunk, second, err);
    return s != DM_OK ? s : dm_optimizer_reset(o, err);
}

dm_status dm_optimizer_new(dm_device *d, const dm_optimizer_arrays *a, dm_optimizer **out, dm_err *err)
{
    dm_optimizer *o;
    dm_status s;

    if (!a->count || a->count > INT32_MAX - 65536 || a->n_ema < 0 || a->n_ema > 4)
        return dm_error(err, DM_EINVAL, "optimizer of %zu parameters and %d averages; 1 to %d and 0 to 4 are allowed",
                        a->count, a->n_ema, INT32_MAX - 65536);
    if (!(o = calloc(1, sizeof *o)))
        return dm_error(err, DM_ENOMEM, "out of memory for the optimizer");
    o->d = d;
    o->a = *a;
    for (int i = a->n_ema; i < 4; i++)
        o->a.ema[i] = NULL;
    if ((s = build(o, err)) != DM_OK) {
        dm_optimizer_free(o);
        return s;
    }
    *out = o;
    return DM_OK;
}

void dm_optimizer_free(dm_optimizer *o)
{
    if (!o)
        return;
    if (o->cmds)
        dm_cmds_free(o->cmds);
    for (size_t i = 0; i < o->n_windows; i++)
        dm_buf_free(o->windows[i]);
    free(o->windows);
    dm_buf_free(o->scalars);
    dm_buf_free(o->state);
    dm_buf_free(o->first);
    dm_buf_free(o->second);
    free(o);
}

dm_status dm_optimizer_run(dm_optimizer *o, const dm_optimizer_step *s, dm_err *err)
{
    const double t = (double)s->step + 1;
    union { float f; int32_t i; } k[SCALARS] = {{0}};
    dm_status status;

    k[DECAY].f = (float)(1 - s->lr * s->weight_decay);
    k[BETA1].f = (float)s->beta1;
    k[REST1].f = (float)(1 - s->beta1);
    k[BETA2].f = (float)s->beta2;
    k[REST2].f = (float)(1 - s->beta2);
    k[RATE].f = (float)(s->lr / -expm1(t * log(s->beta1)));
    k[ROOT].f = (float)(1 / sqrt(-expm1(t * log(s->beta2))));
    k[EPS].f = (float)s->eps;
    k[CLIP].f = s->clip > 0 ? fmaxf((float)s->clip, FLT_MIN) : 0; /* 0 is no limit */
    for (int i = 0; i < o->a.n_ema; i++)
        k[EMA + i].f = (float)(1 - s->ema[i]);
    k[STEP].i = (int32_t)s->step;
    k[LOSS].f = s->loss;
    if ((status = dm_buf_write(o->scalars, 0, sizeof k, k, err)) != DM_OK)
        return status;
    return dm_cmds_run(o->cmds, err);
}

dm_status dm_optimizer_read(dm_optimizer *o, dm_optimizer_numbers *n, dm_err *err)
{
    union { float f; int32_t i; } k[STATE];
    const dm_status s = dm_buf_read(o->state, 0, sizeof k, k, err);

    if (s != DM_OK)
        return s;
    n->norm = (double)k[NORM].f;
    n->bad_step = k[BAD].f != 0 ? k[BAD_STEP].i : -1;
    return DM_OK;
}

dm_status dm_optimizer_reset(dm_optimizer *o, dm_err *err)
{
    return dm_buf_zero(o->state, 0, STATE * sizeof(float), err);
}
