/* Matrix products by CLBlast. Its errors are codes of its own beside OpenCL's. */
#include "opencl/gemm/gemm_clblast.h"
#include "opencl/gemm/gemm_parameters.h"

#ifdef DEMIST_CLBLAST
#include <clblast_c.h>

static bool matrix_fits(const dm_buf *b, int64_t from, int64_t rows, int64_t cols, int64_t ld, int64_t stride,
                        int64_t batch)
{
    const double last =
        (double)from + (double)(batch - 1) * (double)stride + (double)(rows - 1) * (double)ld + (double)cols;

    return from >= 0 && ld >= cols && stride >= 0 && last * sizeof(float) <= (double)b->bytes;
}

dm_status ocl_gemm_check(const dm_device *d, const dm_gemm *g, dm_err *err)
{
    if (g->m < 1 || g->n < 1 || g->k < 1 || g->batch < 1)
        return dm_error(err, DM_EINVAL, "gemm of m %lld, n %lld, k %lld, batch %lld: each must be above 0",
                        (long long)g->m, (long long)g->n, (long long)g->k, (long long)g->batch);
    if (!g->a || !g->b || !g->c || g->a->d != d || g->b->d != d || g->c->d != d)
        return dm_error(err, DM_EINVAL, "gemm: a matrix is missing or on another device than %s", d->where);
    if (g->a->n_parts || g->b->n_parts || g->c->n_parts)
        return dm_error(err, DM_EINVAL, "gemm: a matrix is in several allocations");
    if (!matrix_fits(g->a, g->from_a, g->ta ? g->k : g->m, g->ta ? g->m : g->k, g->lda, g->stride_a, g->batch) ||
        !matrix_fits(g->b, g->from_b, g->tb ? g->n : g->k, g->tb ? g->k : g->n, g->ldb, g->stride_b, g->batch) ||
        !matrix_fits(g->c, g->from_c, g->m, g->n, g->ldc, g->stride_c, g->batch))
        return dm_error(err, DM_EINVAL, "gemm of m %lld, n %lld, k %lld, batch %lld: a matrix does not fit its buffer",
                        (long long)g->m, (long long)g->n, (long long)g->k, (long long)g->batch);
    return DM_OK;
}

dm_status ocl_gemm_run(dm_device *d, const dm_gemm *g, int row, const dm_work *work, dm_err *err)
{
    const CLBlastTranspose ta = g->ta ? CLBlastTransposeYes : CLBlastTransposeNo;
    const CLBlastTranspose tb = g->tb ? CLBlastTransposeYes : CLBlastTransposeNo;
    const size_t m = (size_t)g->m, n = (size_t)g->n, k = (size_t)g->k;
    cl_event event = NULL, *room = ocl_profile_event(d, row, &event);
    CLBlastStatusCode code;
    char subject[128];
    bool used;

    if (!d->clblast && ocl_gemm_load(d, &used, err))
        return err->code;
    d->clblast = true;
    if (g->batch == 1)
        code = CLBlastSgemm(CLBlastLayoutRowMajor, ta, tb, m, n, k, g->alpha, g->a->mem, (size_t)g->from_a,
                            (size_t)g->lda, g->b->mem, (size_t)g->from_b, (size_t)g->ldb, g->beta, g->c->mem,
                            (size_t)g->from_c, (size_t)g->ldc, &d->queue, room);
    else
        code = CLBlastSgemmStridedBatched(
            CLBlastLayoutRowMajor, ta, tb, m, n, k, g->alpha, g->a->mem, (size_t)g->from_a, (size_t)g->lda,
            (size_t)g->stride_a, g->b->mem, (size_t)g->from_b, (size_t)g->ldb, (size_t)g->stride_b, g->beta, g->c->mem,
            (size_t)g->from_c, (size_t)g->ldc, (size_t)g->stride_c, (size_t)g->batch, &d->queue, room);
    if (code == CLBlastSuccess)
        return ocl_profile_add(d, row, event, work, err);
    snprintf(subject, sizeof subject, "m %zu, n %zu, k %zu, batch %lld", m, n, k, (long long)g->batch);
    return ocl_error(d, (cl_int)code, g->batch == 1 ? "CLBlastSgemm" : "CLBlastSgemmStridedBatched", subject, err);
}

void ocl_gemm_forget(void) { CLBlastClearCache(); }

#else

dm_status ocl_gemm_check(const dm_device *d, const dm_gemm *g, dm_err *err)
{
    (void)g;
    return dm_error(err, DM_EDEVICE, "no CLBlast for device %s: demist was built without it (apt-get install "
                    "libclblast-dev)", d->where);
}

dm_status ocl_gemm_run(dm_device *d, const dm_gemm *g, int row, const dm_work *work, dm_err *err)
{
    (void)row, (void)work;
    return ocl_gemm_check(d, g, err);
}

void ocl_gemm_forget(void) {}

#endif
