/* The optimizer's recorded launches; see core/device/kernels.h and kernels/optim/adamw.cl. */
#include "device/kernels.h"
#include "portable.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* As the kernels number them. */
enum { DECAY, BETA1, REST1, BETA2, REST2, RATE, ROOT, EPS, CLIP, EMA, STEP = EMA + 4, SCALARS = 16 };
enum { NORM, FACTOR, BAD, BAD_STEP, STATE = 4 };
/* Elements of a first sum; first sums of a second one. */
enum { CPU_SQUARES = 16384, GPU_SQUARES = 1024, SECOND = 64 };

static const char file[] = "optim/adamw.cl";

struct dm_optimizer {
    dm_device *d;
    dm_optimizer_arrays a;
    dm_buf *scalars, *state, *first, *second;
    dm_buf *window[6];             /* on w, g and the averages, where a part is updated */
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

/* The arrays as the update has them: of the part, if there is one. */
static dm_status take_part(dm_optimizer *o, dm_optimizer_arrays *a, dm_err *err)
{
    dm_buf **const whole[] = {&a->w, &a->g, &a->ema[0], &a->ema[1], &a->ema[2], &a->ema[3]};
    dm_status s = DM_OK;

    if (!a->part)
        return DM_OK;
    for (int i = 0; i < 2 + a->n_ema && s == DM_OK; i++) {
        s = dm_buf_window(*whole[i], a->from * sizeof(float), a->own * sizeof(float), &o->window[i], err);
        *whole[i] = o->window[i];
    }
    a->count = a->own;
    a->keeps_g = true;
    return s;
}

/* AdamW, which makes g zero for the next step where it is to be. */
static dm_status record_update(dm_optimizer *o, dm_err *err)
{
    dm_optimizer_arrays a = o->a;
    dm_status s = DM_OK;
    double n;
    int64_t each;

    if (!a.part || a.own) {
        if ((s = take_part(o, &a, err)) != DM_OK)
            return s;
        n = (double)a.count;
        each = dm_chunk(dm_device_get_info(o->d), (int64_t)a.count);
        s = record(o, "adamw", dm_div_up((int64_t)a.count, each),
                   DM_KARGS(DM_KB(a.w), DM_KB(a.g), DM_KB(a.m), DM_KB(a.v), DM_KB(a.ema[0]), DM_KB(a.ema[1]),
                            DM_KB(a.ema[2]), DM_KB(a.ema[3]), DM_KB(o->scalars), DM_KB(o->state), DM_KI(a.count),
                            DM_KI(each), DM_KI(a.keeps_g)),
                   (15.0 + 3 * a.n_ema) * n, (32.0 - 4 * a.keeps_g + 8 * a.n_ema) * n, err);
    }
    return s != DM_OK || !o->a.part || o->a.keeps_g
               ? s
               : dm_cmds_zero(o->cmds, o->a.g, 0, o->a.count * sizeof(float), err);
}

static dm_status record_all(dm_optimizer *o, int64_t chunk, int64_t first, int64_t second, dm_err *err)
{
    const dm_optimizer_arrays *a = &o->a;
    const double n = (double)a->count;
    dm_status s = record(o, "squares", first,
                         DM_KARGS(DM_KB(a->g), DM_KB(o->first), DM_KI(a->count), DM_KI(chunk)), 2 * n, 4 * n, err);

    if (s == DM_OK)
        s = record(o, "sums", second,
                   DM_KARGS(DM_KB(o->first), DM_KB(o->second), DM_KI(first), DM_KI(SECOND)), (double)first,
                   4.0 * (double)first, err);
    if (s == DM_OK)
        s = record(o, "judge", 1,
                   DM_KARGS(DM_KB(o->second), DM_KB(o->scalars), DM_KB(o->state), DM_KI(second)), 0, 0, err);
    return s != DM_OK ? s : record_update(o, err);
}

static dm_status build(dm_optimizer *o, dm_err *err)
{
    const int64_t chunk = dm_device_get_info(o->d)->cpu ? CPU_SQUARES : GPU_SQUARES;
    const int64_t first = dm_div_up((int64_t)o->a.count, chunk), second = dm_div_up(first, SECOND);
    dm_status s = dm_buf_new(o->d, SCALARS * sizeof(float), "optimizer", &o->scalars, err);

    if (s == DM_OK)
        s = dm_buf_new(o->d, STATE * sizeof(float), "optimizer", &o->state, err);
    if (s == DM_OK)
        s = dm_buf_new(o->d, (size_t)first * sizeof(float), "optimizer", &o->first, err);
    if (s == DM_OK)
        s = dm_buf_new(o->d, (size_t)second * sizeof(float), "optimizer", &o->second, err);
    if (s == DM_OK)
        s = dm_cmds_new(o->d, &o->cmds, err);
    if (s == DM_OK)
        s = record_all(o, chunk, first, second, err);
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
    for (int i = 0; i < 6; i++)
        dm_buf_free(o->window[i]);
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
