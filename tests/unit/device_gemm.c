/* CLBlast behind dm_cmds_gemm: every transposition, strides, batches and accumulation against sums in
 * double precision. One test alone, since CLBlast compiles for seconds on its first call. */
#include "device_setup.h"

enum { M = 5, N = 7, K = 6, BATCH = 3, LD = 9, STRIDE = 70 };

static double at(const float *x, bool t, int b, int i, int j) { return x[b * STRIDE + (t ? j * LD + i : i * LD + j)]; }

static void reference(const dm_gemm *g, const float *a, const float *b, float *c)
{
    for (int n = 0; n < g->batch; n++)
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double s = 0;

                for (int k = 0; k < K; k++)
                    s += at(a, g->ta, n, i, k) * at(b, g->tb, n, k, j);
                c[n * STRIDE + i * LD + j] = (float)(g->alpha * s + g->beta * c[n * STRIDE + i * LD + j]);
            }
}

static void gemm__every_form(void **state)
{
    static float a[BATCH * STRIDE], b[BATCH * STRIDE], c[BATCH * STRIDE], want[BATCH * STRIDE], got[BATCH * STRIDE];
    dm_device *d = *state;
    dm_buf *ba, *bb, *bc;
    dm_cmds *list;
    dm_err err;

    for (int i = 0; i < BATCH * STRIDE; i++) {
        a[i] = (float)(i * 37 % 23 - 11) / 8;
        b[i] = (float)(i * 29 % 31 - 15) / 8;
        c[i] = (float)(i * 17 % 13 - 6) / 8;
    }
    must(dm_buf_new(d, sizeof a, "a", &ba, &err), &err);
    must(dm_buf_new(d, sizeof b, "b", &bb, &err), &err);
    must(dm_buf_new(d, sizeof c, "c", &bc, &err), &err);
    must(dm_buf_write(ba, 0, sizeof a, a, &err), &err);
    must(dm_buf_write(bb, 0, sizeof b, b, &err), &err);
    for (int form = 0; form < 8; form++) {
        const dm_gemm g = {.ta = form & 1, .tb = form & 2, .m = M, .n = N, .k = K, .batch = form & 4 ? BATCH : 1,
                           .alpha = 1.5f, .beta = form & 1 ? 1 : 0, .a = ba, .b = bb, .c = bc, .lda = LD, .ldb = LD,
                           .ldc = LD,
                           .stride_a = STRIDE, .stride_b = STRIDE, .stride_c = STRIDE};

        must(dm_cmds_new(d, &list, &err), &err);
        must(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, &err), &err);
        must(dm_buf_write(bc, 0, sizeof c, c, &err), &err);
        memcpy(want, c, sizeof c);
        reference(&g, a, b, want);
        must(dm_cmds_run(list, &err), &err);
        must(dm_buf_read(bc, 0, sizeof c, got, &err), &err);
        for (int i = 0; i < BATCH * STRIDE; i++)
            if (!(got[i] - want[i] < 1e-4f && want[i] - got[i] < 1e-4f))
                fail_msg("form %d, element %d: %g where %g is right", form, i, (double)got[i], (double)want[i]);
        dm_cmds_free(list);
    }
    dm_buf_free(ba), dm_buf_free(bb), dm_buf_free(bc);
}

static void gemm__refuses(void **state)
{
    dm_device *d = *state;
    dm_gemm g = {.m = 2, .n = 2, .k = 2, .batch = 1, .alpha = 1, .lda = 2, .ldb = 2, .ldc = 2};
    dm_cmds *list;
    dm_buf *b;
    dm_err err;

    must(dm_buf_new(d, 16, "a", &b, &err), &err);
    must(dm_cmds_new(d, &list, &err), &err);
    must_fail(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, &err), DM_EINVAL, &err, "missing");
    g.a = g.b = g.c = b;
    g.k = 0;
    must_fail(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, &err), DM_EINVAL, &err, "above 0");
    g.k = 3;
    must_fail(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, &err), DM_EINVAL, &err, "fit");
    g.k = 2;
    g.batch = 2;
    g.stride_a = g.stride_b = g.stride_c = 4;
    must_fail(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, &err), DM_EINVAL, &err, "fit");
    g.m = INT64_MAX;
    must_fail(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, &err), DM_EINVAL, &err, "fit");
    dm_cmds_free(list);
    dm_buf_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gemm__every_form), cmocka_unit_test(gemm__refuses)};

    return cmocka_run_group_tests(tests, open_device, close_device);
}
