/* conv2d, conv2d_dx, conv2d_dw against sums in double precision; the gradients are also checked to be the
 * adjoints of the forward reference. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct extent { int64_t N, H, W, C, O; int32_t k, stride, lo, hi; } extent;

static const extent small[] = {
    {1, 4, 4, 3, 5, 3, 1, 1, 1},  {2, 5, 3, 16, 16, 3, 1, 1, 1}, {1, 4, 5, 32, 33, 3, 2, 0, 1},
    {1, 3, 3, 1, 32, 1, 1, 0, 0}, {1, 4, 4, 16, 1, 3, 1, 1, 1},
};
static const extent large[] = {
    {3, 7, 7, 32, 64, 3, 1, 1, 1},    {2, 9, 7, 31, 33, 3, 1, 1, 1},   {2, 8, 8, 64, 32, 3, 2, 0, 1},
    {1, 9, 9, 5, 65, 3, 2, 1, 1},     {3, 5, 4, 65, 1, 3, 1, 1, 1},    {2, 7, 7, 1, 31, 3, 1, 1, 1},
    {1, 28, 28, 12, 48, 3, 1, 1, 1},  {5, 1, 13, 33, 31, 1, 1, 0, 0},  {2, 6, 6, 16, 16, 5, 1, 2, 2},
    {1, 7, 7, 16, 32, 3, 3, 1, 0},    {4, 14, 14, 8, 16, 3, 2, 1, 1},  {1, 1, 1, 64, 64, 1, 1, 0, 0},
    {3, 13, 18, 40, 48, 3, 1, 1, 1},  {2, 6, 9, 17, 20, 3, 1, 0, 2},   {1, 6, 6, 20, 36, 3, 1, 2, 0},
    {3, 13, 13, 33, 17, 3, 1, 1, 1},  {17, 16, 16, 8, 24, 3, 1, 1, 1}, {9, 5, 4, 17, 20, 3, 2, 0, 1},
    {250, 1, 1, 2000, 3, 3, 1, 1, 1}, {33, 16, 16, 40, 24, 1, 1, 0, 1},
    {33, 16, 16, 17, 24, 3, 1, 1, 1},
};

static int64_t out_extent(int64_t n, const extent *e) { return (n + e->lo + e->hi - e->k) / e->stride + 1; }

/* Calls f(x index, y index, w index) for every product of the convolution. */
#define EACH_PRODUCT(x, w, y, conv)                                                         \
    for (int64_t n = 0; n < (x)->dim[0]; n++)                                               \
        for (int64_t h = 0; h < (y)->dim[1]; h++)                                           \
            for (int64_t v = 0; v < (y)->dim[2]; v++)                                       \
                for (int64_t o = 0; o < (y)->dim[3]; o++)                                   \
                    for (int64_t r = 0; r < (conv).k; r++)                                  \
                        for (int64_t s = 0; s < (conv).k; s++)                              \
                            for (int64_t c = 0, ih = h * (conv).stride + r - (conv).pad[0], \
                                         iv = v * (conv).stride + s - (conv).pad[0];        \
                                 c < (x)->dim[3] && ih >= 0 && ih < (x)->dim[1] && iv >= 0 && iv < (x)->dim[2]; c++)
#define X_AT(x) (((n * (x)->dim[1] + ih) * (x)->dim[2] + iv) * (x)->dim[3] + c)
#define Y_AT(y) (((n * (y)->dim[1] + h) * (y)->dim[2] + v) * (y)->dim[3] + o)
#define W_AT(x, conv) (((o * (x)->dim[3] + c) * (conv).k + r) * (conv).k + s)

static void forward(const dm_opnode *p, const double *const *in, double *const *out)
{
    const dm_desc *x = &p->in[0], *y = &p->out[0];
    const int64_t O = y->dim[3], pixels = y->dim[1] * y->dim[2];

    for (int64_t i = 0; i < dm_desc_count(y); i++)
        out[0][i] =
            (in[2] ? in[2][i % O] : 0) + (in[3] ? in[3][i / (pixels * O) * O + i % O] : 0) + (in[4] ? in[4][i] : 0);
    EACH_PRODUCT(x, w, y, p->a.conv) out[0][Y_AT(y)] += in[0][X_AT(x)] * in[1][W_AT(x, p->a.conv)];
}

static void data_gradient(const dm_opnode *p, const double *const *in, double *const *out)
{
    const dm_desc *x = &p->out[0], *y = &p->in[0];

    for (int64_t i = 0; i < dm_desc_count(x); i++)
        out[0][i] = 0;
    EACH_PRODUCT(x, w, y, p->a.conv) out[0][X_AT(x)] += in[0][Y_AT(y)] * in[1][W_AT(x, p->a.conv)];
}

static void weight_gradient(const dm_opnode *p, const double *const *in, double *const *out)
{
    const dm_desc *x = &p->in[0], *y = &p->in[1];

    for (int64_t i = 0; i < dm_desc_count(&p->out[0]) && !p->accum; i++)
        out[0][i] = 0;
    EACH_PRODUCT(x, w, y, p->a.conv) out[0][W_AT(x, p->a.conv)] += in[0][X_AT(x)] * in[1][Y_AT(y)];
}

static dm_desc x_of(const extent *e) { return OPS_DESC(e->N, e->H, e->W, e->C); }
static dm_desc y_of(const extent *e) { return OPS_DESC(e->N, out_extent(e->H, e), out_extent(e->W, e), e->O); }
static dm_desc w_of(const extent *e) { return OPS_DESC(e->O, e->C, e->k, e->k); }

static void check_forward(dm_device *d, const extent *e, bool extras)
{
    ops_case c = {
        .name = extras ? "conv2d with bias, time and residual" : "conv2d", .reference = forward, .tolerance = 3e-6};

    c.node = (dm_opnode){.kind = DM_OP_CONV2D,
                         .n_in = 5,
                         .n_out = 1,
                         .in = {x_of(e), w_of(e), OPS_NONE, OPS_NONE, OPS_NONE},
                         .out = {y_of(e)}};
    if (extras) {
        c.node.in[2] = OPS_DESC(e->O);
        c.node.in[3] = OPS_DESC(e->N, e->O);
        c.node.in[4] = y_of(e);
    }
    c.node.a.conv = (dm_conv){e->k, e->stride, {e->lo, e->hi}};
    ops_check(d, &c);
}

static void check_dx(dm_device *d, const extent *e)
{
    ops_case dx = {.name = "conv2d_dx", .reference = data_gradient, .tolerance = 3e-6};

    dx.node = (dm_opnode){.kind = DM_OP_CONV2D_DX, .n_in = 2, .n_out = 1, .in = {y_of(e), w_of(e)}, .out = {x_of(e)}};
    dx.node.a.conv = (dm_conv){e->k, e->stride, {e->lo, e->hi}};
    ops_check(d, &dx);
}

static void check_gradients(dm_device *d, const extent *e)
{
    ops_case dw = {.name = "conv2d_dw", .reference = weight_gradient, .tolerance = 6e-6};

    check_dx(d, e);
    dw.node = (dm_opnode){.kind = DM_OP_CONV2D_DW, .n_in = 2, .n_out = 1, .in = {x_of(e), y_of(e)}, .out = {w_of(e)}};
    dw.node.a.conv = (dm_conv){e->k, e->stride, {e->lo, e->hi}};
    ops_check(d, &dw);
    dw.node.accum = true;
    ops_check(d, &dw);
}

static void each(void (*f)(dm_device *d, const extent *e), dm_device *d)
{
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++)
        f(d, &small[i]);
    for (size_t i = 0; i < sizeof large / sizeof large[0] && !ops_small(); i++)
        f(d, &large[i]);
}

static void plain(dm_device *d, const extent *e) { check_forward(d, e, false); }
static void with_extras(dm_device *d, const extent *e) { check_forward(d, e, true); }

static void conv2d__forward(void **state) { each(plain, *state); }
static void conv2d__epilogue(void **state) { each(with_extras, *state); }
static void conv2d__gradients(void **state) { each(check_gradients, *state); }

/* Sums as long as networks have, where the rounding of transforms would show. */
static void conv2d__many_channels(void **state)
{
    static const int64_t channels[] = {64, 128, 256, 512};

    for (size_t i = 0; i < sizeof channels / sizeof channels[0] && !ops_small(); i++) {
        const extent e = {1, 16, 16, channels[i], 48, 3, 1, 1, 1};

        check_forward(*state, &e, false);
        check_gradients(*state, &e);
    }
}

/* More than 2^20: indices that kernels for GPUs no longer divide by a product. (Weights' gradients sum all of them in
 * fp32, which rounds more than the tolerance.) */
static void conv2d__many_pixels(void **state)
{
    static const extent e = {1, 1025, 1024, 1, 2, 3, 1, 1, 1};

    if (ops_small())
        return;
    check_forward(*state, &e, false);
    check_dx(*state, &e);
}

/* <dy, conv(x)> = <conv_dx(dy), x> = <conv_dw(x, dy), w>, in double: the references belong together. */
static void conv2d__references_are_adjoint(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        const extent *e = &small[i];
        dm_opnode f = {.kind = DM_OP_CONV2D, .in = {x_of(e), w_of(e)}, .out = {y_of(e)}},
                  g = {.in = {y_of(e), w_of(e)}, .out = {x_of(e)}}, w = {.in = {x_of(e), y_of(e)}, .out = {w_of(e)}};
        const dm_desc *all[] = {&f.in[0], &f.in[1], &f.out[0]};
        double *v[6], left = 0, by_x = 0, by_w = 0;

        f.a.conv = g.a.conv = w.a.conv = (dm_conv){e->k, e->stride, {e->lo, e->hi}};
        for (int k = 0; k < 6; k++) {
            v[k] = calloc((size_t)dm_desc_count(all[k % 3]), sizeof(double));
            for (int64_t j = 0; j < dm_desc_count(all[k % 3]) && k < 3; j++)
                v[k][j] = sin((double)(j * 7 + k * 3 + 1));
        }
        forward(&f, (const double *const[]){v[0], v[1], NULL, NULL, NULL}, &v[5]);
        data_gradient(&g, (const double *const[]){v[2], v[1]}, &v[3]);
        weight_gradient(&w, (const double *const[]){v[0], v[2]}, &v[4]);
        for (int64_t j = 0; j < dm_desc_count(all[2]); j++)
            left += v[2][j] * v[5][j];
        for (int64_t j = 0; j < dm_desc_count(all[0]); j++)
            by_x += v[0][j] * v[3][j];
        for (int64_t j = 0; j < dm_desc_count(all[1]); j++)
            by_w += v[1][j] * v[4][j];
        assert_true(fabs(left - by_x) < 1e-9 * (1 + fabs(left)));
        assert_true(fabs(left - by_w) < 1e-9 * (1 + fabs(left)));
        for (int k = 0; k < 6; k++)
            free(v[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv2d__references_are_adjoint),
        cmocka_unit_test(conv2d__forward),
        cmocka_unit_test(conv2d__epilogue),
        cmocka_unit_test(conv2d__gradients),
        cmocka_unit_test(conv2d__many_channels),
        cmocka_unit_test(conv2d__many_pixels),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
