/* Launches for samplers and predictions; see core/device/kernels.h and kernels/sampling/sampling.cl. */
#include "device/kernels.h"
#include "device/ops.h"
#include "ops/launch/portable.h"

#include <math.h>

static const char file[] = "sampling/sampling.cl";

static dm_status run(dm_device *d, const char *from, const char *name, const char *options, const dm_range *r,
                     const dm_karg *args, int n, dm_err *err)
{
    dm_kernel *k;
    const dm_status s = dm_kernel_get(d, from, name, options, &k, err);

    return s != DM_OK ? s : dm_launch(d, k, r, args, n, err);
}

/* One group an example, of GROUP work-items, or of one where the device or the compiled kernel takes no more. */
enum { GROUP = 128 };
static dm_status run_in_groups(dm_device *d, const char *name, int64_t examples, const dm_karg *args, int n,
                               dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(d);
    const dm_range large = {.dim = 1, .global = {(size_t)examples * GROUP}, .local = {GROUP}};
    const dm_range one = {.dim = 1, .global = {(size_t)examples}, .local = {1}};
    dm_err why = {0};

    if (!about->cpu && about->max_group >= GROUP) {
        const dm_status s = run(d, file, name, "-DW=4 -DGROUP=128", &large, args, n, &why);

        if (s != DM_EDEVICE)
            return s == DM_OK ? s : dm_error(err, s, "%s", why.msg);
    }
    return run(d, file, name, "-DW=4 -DGROUP=1", &one, args, n, err);
}

static dm_status check_count(const char *what, int64_t count, dm_err *err)
{
    if (count < 1 || count > INT32_MAX - 65536)
        return dm_error(err, DM_EINVAL, "%s of %lld elements; 1 to %d are allowed", what, (long long)count,
                        INT32_MAX - 65536);
    return DM_OK;
}

dm_status dm_launch_sum(dm_device *d, dm_buf *out, const double *k, dm_buf *const *x, int n, int64_t count, dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(d);
    const int64_t chunk = dm_chunk(about, count > 0 ? count : 1);
    const dm_range r = dm_over(about, dm_div_up(count, chunk));
    dm_karg args[19];
    const dm_status s = check_count("sum", count, err);

    if (s != DM_OK)
        return s;
    if (n < 1 || n > 8)
        return dm_error(err, DM_EINVAL, "sum of %d terms; 1 to 8 are allowed", n);
    args[0] = (dm_karg)DM_KB(out);
    for (int i = 0; i < 8; i++) {
        args[1 + i] = (dm_karg)DM_KB(i < n ? x[i] : NULL);
        args[9 + i] = (dm_karg)DM_KF(i < n ? k[i] : 0);
    }
    args[17] = (dm_karg)DM_KI(count);
    args[18] = (dm_karg)DM_KI(chunk);
    return run(d, file, "weighted_sum", dm_lanes_option(about), &r, args, 19, err);
}

dm_status dm_launch_keep(dm_device *d, const dm_keep *k, dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(d);
    const int64_t chunk = dm_chunk(about, k->count > 0 ? k->count : 1);
    const dm_range r = dm_over(about, dm_div_up(k->count, chunk));
    const dm_status s = check_count("masking", k->count, err);

    return s ? s
             : run(d, file, "keep", dm_lanes_option(about), &r,
                   DM_KARGS(DM_KB(k->x), DM_KB(k->m), DM_KB(k->x0), DM_KB(k->z), DM_KF(k->alpha), DM_KF(k->sigma),
                            DM_KI(k->count), DM_KI(chunk)), err);
}

dm_status dm_launch_randn(dm_device *d, dm_buf *out, int64_t n, int64_t per_example, const dm_randn *q, dm_err *err)
{
    enum { CPU_BLOCKS = 256 };
    const dm_device_info *about = dm_device_get_info(d);
    const int64_t each = about->cpu ? CPU_BLOCKS : dm_lanes(about);
    const dm_range r = dm_over(about, n * dm_div_up(dm_div_up(per_example, 4), each));
    const dm_status s = check_count("noise", n < 1 || per_example > INT32_MAX / n ? -1 : n * per_example, err);

    if (s != DM_OK)
        return s;
    return run(d, "random/random.cl", "randn_at", dm_lanes_option(about), &r,
               DM_KARGS(DM_KI((uint32_t)q->seed), DM_KI((uint32_t)(q->seed >> 32)), DM_KI(q->step),
                        DM_KI(q->first_index), DM_KB(out), DM_KI(n), DM_KI(per_example),
                        DM_KI(q->purpose << 24 | q->node), DM_KI(q->draw), DM_KI(each)), err);
}

dm_status dm_launch_predict(dm_device *d, const dm_predict_args *a, dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(d);
    const int64_t chunk = dm_chunk(about, a->inner);
    const dm_range r = dm_over(about, a->n * dm_div_up(a->inner, chunk));
    const double e_x = (1 - a->alpha * a->c_skip) / a->sigma, e_F = -a->alpha * a->c_out / a->sigma;
    const dm_status s = check_count("prediction", a->n < 1 || a->stride > INT32_MAX / a->n ? -1 : a->n * a->stride,
                                    err);

    if (s != DM_OK)
        return s;
    if (a->eps && !(a->sigma > 0))
        return dm_error(err, DM_EINVAL, "noise cannot be predicted at sigma = %g; it must be above 0", a->sigma);
    return run(d, file, "predict", dm_lanes_option(about), &r,
               DM_KARGS(DM_KB(a->x), DM_KB(a->F), DM_KB(a->x0), DM_KB(a->eps), DM_KB(a->log_var), DM_KI(a->n),
                        DM_KI(a->inner), DM_KI(a->stride), DM_KF(a->c_skip), DM_KF(a->c_out), DM_KF(a->limit),
                        DM_KF(a->eps ? e_x : 0), DM_KF(a->eps ? e_F : 0),
                        DM_KF(a->eps && !a->eps_first ? a->alpha / a->sigma : 0), DM_KF(a->k0), DM_KF(a->k1),
                        DM_KI(chunk)), err);
}

dm_status dm_launch_square_sums(dm_device *d, dm_buf *x, dm_buf *w, dm_buf *sums, int64_t n, int64_t inner, dm_err *err)
{
    const dm_status s = check_count("sums of squares", n < 1 || inner > INT32_MAX / n ? -1 : n * inner, err);

    if (s != DM_OK)
        return s;
    return run_in_groups(d, "square_sums", n, DM_KARGS(DM_KB(x), DM_KB(w), DM_KB(sums), DM_KI(inner)), err);
}

dm_status dm_launch_threshold(dm_device *d, dm_buf *x0, int64_t n, int64_t inner, double ratio, double max, dm_err *err)
{
    const double at = ratio * (double)(inner - 1), rank = floor(at);
    const dm_status s = check_count("thresholding", n < 1 || inner > INT32_MAX / n ? -1 : n * inner, err);

    if (s != DM_OK)
        return s;
    if (!(ratio >= 0 && ratio <= 1) || !(max >= 1))
        return dm_error(err, DM_EINVAL, "thresholding at quantile %g up to %g; 0 to 1 and at least 1 are allowed",
                        ratio, max);
    return run_in_groups(d, "threshold", n,
                         DM_KARGS(DM_KB(x0), DM_KI(inner), DM_KI(rank), DM_KF(at - rank), DM_KF(max)), err);
}
