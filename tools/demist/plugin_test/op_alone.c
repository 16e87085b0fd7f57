/* One op, run by itself in guarded buffers; see ops.h. */
#include "plugin_test/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };               /* words on each side of a buffer */
static const float pattern = 1234567.0f;

/* A buffer with guard words, and the tensor that the op gets of it. */
typedef struct guarded { dm_buf *all, *window; dm_tensor tensor; int64_t n; size_t side; } guarded;
typedef struct work {
    plugin_test *t;
    const plugin_test_op *q;
    guarded in[DM_MAX_IN], out[DM_MAX_OUT], dout[DM_MAX_OUT], din[DM_MAX_IN];
    float *y[DM_MAX_OUT], *dy[DM_MAX_OUT], *dx[DM_MAX_IN];
} work;

/* Buffers begin at multiples of the device's alignment, and so do windows on them. */
static dm_status guard(dm_device *d, guarded *g, const dm_shape *shape, dm_err *err)
{
    const size_t align = dm_device_get_info(d)->align, least = GUARD * sizeof(float);
    dm_status rc;

    g->n = dm_shape_count(shape);
    g->side = (least + align - 1) / align * align;
    if ((rc = dm_buf_new(d, (size_t)g->n * sizeof(float) + 2 * g->side, "a guarded buffer", &g->all, err)) ||
        (rc = dm_buf_window(g->all, g->side, (size_t)g->n * sizeof(float), &g->window, err)))
        return rc;
    g->tensor = (dm_tensor){.shape = *shape, .buf = g->window};
    return DM_OK;
}

static void release(guarded *g)
{
    dm_buf_free(g->window);
    dm_buf_free(g->all);
    *g = (guarded){0};
}

/* The pattern on both sides, and between them values, or `fill` where there are none. */
static dm_status set(guarded *g, const void *values, float fill, dm_err *err)
{
    const size_t words = g->side / sizeof(float), n = (size_t)g->n;
    float *all = malloc((n + 2 * words) * sizeof *all);
    dm_status rc;

    if (!all)
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (size_t i = 0; i < n + 2 * words; i++)
        all[i] = i < words || i >= words + n ? pattern : fill;
    if (values)
        memcpy(all + words, values, n * sizeof *all);
    rc = dm_buf_write(g->all, 0, (n + 2 * words) * sizeof *all, all, err);
    free(all);
    return rc;
}

/* Its values into x, which is allocated once; false where a guard word was written, which is said. */
static bool get(work *w, guarded *g, float **x, const char *callback, const char *what, int k)
{
    const size_t words = g->side / sizeof(float), n = (size_t)g->n;
    float *all = malloc((n + 2 * words) * sizeof *all);
    dm_err err = {0};
    bool intact = true;

    if (!*x)
        *x = malloc(n * sizeof **x);
    if (!all || !*x || dm_buf_read(g->all, 0, (n + 2 * words) * sizeof *all, all, &err)) {
        plugin_test_fail(w->t, "op '%s': %s", w->q->op->name, err.code ? err.msg : "out of memory");
        free(all);
        return false;
    }
    for (size_t i = 0; i < words && intact; i++) {
        const bool before = all[i] != pattern, behind = all[words + n + i] != pattern;

        if ((intact = !before && !behind))
            continue;
        plugin_test_fail(w->t, "op '%s': %s writes %s %s %d, of %zu elements; let its kernel leave where the index is "
                         "not below the count", w->q->op->name, callback, before ? "before" : "beyond", what, k, n);
    }
    memcpy(*x, all + words, n * sizeof **x);
    free(all);
    return intact;
}

static dm_status call(work *w, bool forward, dm_err *err)
{
    const dm_op *op = w->q->op;
    dm_instance *owner = w->q->owner;
    dm_tensor *in[DM_MAX_IN] = {NULL}, *out[DM_MAX_OUT] = {NULL}, *dout[DM_MAX_OUT] = {NULL}, *din[DM_MAX_IN] = {NULL};
    dm_cmds *cmds = NULL;
    dm_recording recording = {.label = op->name};
    dm_status rc = dm_cmds_new(w->q->device, &cmds, err);

    if (rc)
        return rc;
    recording.cmds = cmds;
    for (int k = 0; k < op->n_in; k++) {
        in[k] = &w->in[k].tensor;
        din[k] = w->din[k].window ? &w->din[k].tensor : NULL;
    }
    for (int k = 0; k < op->n_out; k++) {
        out[k] = &w->out[k].tensor;
        dout[k] = w->dout[k].window ? &w->dout[k].tensor : NULL;
    }
    owner->services->recording = &recording;
    rc = forward ? DM_CALL(owner, DM_CB_FORWARD, err, op->forward(&owner->ctx, in, out))
                 : DM_CALL(owner, DM_CB_BACKWARD, err, op->backward(&owner->ctx, in, out, dout, din));
    owner->services->recording = NULL;
    if (!rc && !(rc = dm_cmds_run(cmds, err)))
        rc = dm_device_finish(w->q->device, err);
    dm_cmds_free(cmds);
    return rc;
}

/* The forward pass with outputs that had `fill`; false was said. */
static bool forward(work *w, float fill)
{
    const dm_op *op = w->q->op;
    dm_err err = {0};
    bool ok = true;

    for (int k = 0; k < op->n_out; k++)
        if (set(&w->out[k], NULL, fill, &err))
            ok = false;
    if (!ok || call(w, true, &err)) {
        plugin_test_fail(w->t, "op '%s': %s", op->name, err.msg);
        return false;
    }
    for (int k = 0; k < op->n_out && ok; k++)
        ok = get(w, &w->out[k], &w->y[k], "forward()", "output", k);
    return ok;
}

/* Inputs are what they were. */
static bool inputs_intact(work *w, const char *callback)
{
    bool ok = true;

    for (int k = 0; k < w->q->op->n_in && ok; k++) {
        float *x = NULL;

        ok = get(w, &w->in[k], &x, callback, "input", k);
        if (ok && memcmp(x, w->q->in[k].host, (size_t)w->in[k].n * sizeof *x)) {
            plugin_test_fail(w->t, "op '%s': %s changes its input %d; others read it too", w->q->op->name, callback,
                             k);
            ok = false;
        }
        free(x);
    }
    return ok;
}

static bool check_forward(work *w)
{
    const dm_op *op = w->q->op;
    float *first[DM_MAX_OUT] = {NULL};
    bool ok = forward(w, NAN) && inputs_intact(w, "forward()");

    for (int k = 0; k < op->n_out && ok; k++) {
        const int64_t bad = plugin_test_bad(w->y[k], w->out[k].n);

        if (bad >= 0) {
            plugin_test_fail(w->t, "op '%s': forward() leaves element %lld of output %d (of %lld) unwritten, or it is "
                             "not finite; write every element", op->name, (long long)bad, k, (long long)w->out[k].n);
            ok = false;
        }
    }
    for (int k = 0; k < op->n_out && ok; k++) {
        if ((ok = (first[k] = malloc((size_t)w->out[k].n * sizeof(float))) != NULL))
            memcpy(first[k], w->y[k], (size_t)w->out[k].n * sizeof(float));
    }
    ok = ok && forward(w, -3e4f);
    for (int k = 0; k < op->n_out && ok; k++)
        if (memcmp(first[k], w->y[k], (size_t)w->out[k].n * sizeof(float))) {
            plugin_test_fail(w->t, "op '%s': output %d depends on what lay there before, or on the order of its "
                             "work-items; write it whole, without atomics", op->name, k);
            ok = false;
        }
    for (int k = 0; k < op->n_out; k++)
        free(first[k]);
    return ok;
}

/* ---- backward --------------------------------------------------------------------------------------------- */

/* The sum of dout times out. */
static double product(const work *w)
{
    double sum = 0;

    for (int k = 0; k < w->q->op->n_out; k++)
        for (int64_t i = 0; w->dy[k] && i < w->out[k].n; i++)
            sum += (double)w->y[k][i] * (double)w->dy[k][i];
    return sum;
}

/* Gradients into dx, added to arrays that held `fill`. */
static bool backward(work *w, float fill)
{
    const dm_op *op = w->q->op;
    dm_err err = {0};
    bool ok = true;

    for (int k = 0; k < op->n_in && ok; k++)
        ok = !w->din[k].window || !set(&w->din[k], NULL, fill, &err);
    if (!ok || call(w, false, &err)) {
        plugin_test_fail(w->t, "op '%s': %s", op->name, err.msg);
        return false;
    }
    for (int k = 0; k < op->n_in && ok; k++)
        ok = !w->din[k].window || get(w, &w->din[k], &w->dx[k], "backward()", "the gradient of input", k);
    return ok && inputs_intact(w, "backward()");
}

/* The change of the product where input k moves by h along v. */
static bool moved(work *w, int k, const float *v, double h, double *to)
{
    const plugin_test_array *a = &w->q->in[k];
    float *x = malloc((size_t)w->in[k].n * sizeof *x);
    dm_err err = {0};
    bool ok = x != NULL;

    for (int64_t i = 0; ok && i < w->in[k].n; i++)
        x[i] = (float)((double)((const float *)a->host)[i] + h * (double)v[i]);
    ok = ok && !set(&w->in[k], x, 0, &err) && forward(w, NAN);
    *to = ok ? product(w) : NAN;
    free(x);
    if (set(&w->in[k], a->host, 0, &err))
        ok = false;
    return ok;
}

/* What backward says of a direction, and the difference of two forward passes. */
static bool slope(work *w, int k, const float *v, double h, double *expected, double *found)
{
    double up, down, half_up, half_down;

    *expected = 0;
    for (int64_t i = 0; i < w->in[k].n; i++)
        *expected += (double)w->dx[k][i] * (double)v[i];
    if (!moved(w, k, v, h, &up) || !moved(w, k, v, -h, &down) || !moved(w, k, v, h / 2, &half_up) ||
        !moved(w, k, v, -h / 2, &half_down))
        return false;
    *found = (4 * (half_up - half_down) / h - (up - down) / (2 * h)) / 3;
    return true;
}

static bool check_direction(work *w, int k, const float *v, int64_t element)
{
    const char *name = w->q->op->name;
    double size = 0, expected, found, noise = 0, at;

    for (int64_t i = 0; i < w->in[k].n; i++)
        size = fmax(size, fabs((double)((const float *)w->q->in[k].host)[i]));
    for (int o = 0; o < w->q->op->n_out; o++)
        for (int64_t i = 0; w->dy[o] && i < w->out[o].n; i++)
            noise += fabs((double)w->y[o][i] * (double)w->dy[o][i]);
    at = 2e-2 * fmax(size, 0.1);
    if (!slope(w, k, v, at, &expected, &found))
        return false;
    if (fabs(expected - found) <= 0.03 * fmax(fabs(expected), fabs(found)) + 3e-6 * noise / at)
        return true;
    if (element < 0)
        return false;
    plugin_test_fail(w->t, "op '%s': backward() gives %.5g for the gradient of input %d at element %lld; finite "
                     "differences of forward() give %.5g", name, expected, k, (long long)element, found);
    return false;
}

/* Along one direction; where that is wrong, the element at fault is looked for. */
static bool check_input(work *w, int k)
{
    enum { LOOKED_AT = 64 };
    const int64_t n = w->in[k].n;
    float *v = malloc((size_t)n * sizeof *v);
    bool ok;
    const int before = w->t->failed;

    if (!v)
        return false;
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)cos(1.9 * (double)i + k);
    ok = check_direction(w, k, v, -1);
    for (int64_t e = 0; e < LOOKED_AT && e < n && !ok && w->t->failed == before; e++) {
        memset(v, 0, (size_t)n * sizeof *v);
        v[e * n / (n < LOOKED_AT ? n : LOOKED_AT)] = 1;
        check_direction(w, k, v, e * n / (n < LOOKED_AT ? n : LOOKED_AT));
    }
    if (!ok && w->t->failed == before)
        plugin_test_fail(w->t, "op '%s': the gradient of input %d by backward() is not that of forward(), by finite "
                         "differences", w->q->op->name, k);
    free(v);
    return ok;
}

static void check_backward(work *w)
{
    const dm_op *op = w->q->op;
    float *first[DM_MAX_IN] = {NULL};
    bool ok = backward(w, 0);

    for (int k = 0; k < op->n_in && ok; k++) {
        if (!w->din[k].window)
            continue;
        if ((ok = (first[k] = malloc((size_t)w->din[k].n * sizeof(float))) != NULL))
            memcpy(first[k], w->dx[k], (size_t)w->din[k].n * sizeof(float));
    }
    ok = ok && backward(w, 0.5f);
    for (int k = 0; k < op->n_in && ok; k++)
        for (int64_t i = 0; w->din[k].window && i < w->din[k].n && ok; i++)
            if (!(fabs((double)w->dx[k][i] - 0.5 - (double)first[k][i]) <= 1e-4 * fmax(1, fabs((double)first[k][i])))) {
                plugin_test_fail(w->t, "op '%s': backward() leaves %.5g in the gradient of input %d at element %lld "
                                 "where 0.5 lay and %.5g was to be added; add to din, do not write it", op->name,
                                 (double)w->dx[k][i], k, (long long)i, (double)first[k][i]);
                ok = false;
            }
    for (int k = 0; k < op->n_in; k++) {
        if (first[k])
            memcpy(w->dx[k], first[k], (size_t)w->din[k].n * sizeof(float));
        free(first[k]);
    }
    for (int k = 0; k < op->n_in && ok; k++)
        ok = !w->din[k].window || check_input(w, k);
}

static dm_status prepare(work *w, dm_err *err)
{
    const plugin_test_op *q = w->q;
    dm_status rc = DM_OK;

    for (int k = 0; k < q->op->n_in && !rc; k++) {
        if (!(rc = guard(q->device, &w->in[k], &q->in[k].shape, err)))
            rc = set(&w->in[k], q->in[k].host, 0, err);
        if (!rc && q->op->backward && q->in[k].wants_gradient && !q->in[k].integers)
            rc = guard(q->device, &w->din[k], &q->in[k].shape, err);
    }
    for (int k = 0; k < q->op->n_out && !rc; k++) {
        if ((rc = guard(q->device, &w->out[k], &q->out[k].shape, err)))
            return rc;
        if (!q->out[k].used) /* backward() gets NULL for it, as in the network */
            continue;
        if ((rc = guard(q->device, &w->dout[k], &q->out[k].shape, err)))
            return rc;
        if (!(w->dy[k] = malloc((size_t)w->out[k].n * sizeof *w->dy[k])))
            return dm_error(err, DM_ENOMEM, "out of memory");
        for (int64_t i = 0; i < w->out[k].n; i++)
            w->dy[k][i] = (float)sin(0.7 * (double)i + 1 + k);
        rc = set(&w->dout[k], w->dy[k], 0, err);
    }
    return rc;
}

void plugin_test_op_alone(plugin_test *t, const plugin_test_op *op)
{
    work *w = calloc(1, sizeof *w);
    bool wanted = false, used = false;
    dm_err err = {0};

    if (!w) {
        plugin_test_fail(t, "out of memory");
        return;
    }
    w->t = t;
    w->q = op;
    if (prepare(w, &err))
        plugin_test_fail(t, "op '%s': %s", op->op->name, err.msg);
    for (int k = 0; k < DM_MAX_IN; k++)
        wanted |= w->din[k].window != NULL;
    for (int k = 0; k < DM_MAX_OUT; k++)
        used |= w->dout[k].window != NULL;
    if (!err.code && check_forward(w) && wanted && used)
        check_backward(w);
    for (int k = 0; k < DM_MAX_IN; k++) {
        release(&w->in[k]);
        release(&w->din[k]);
        free(w->dx[k]);
    }
    for (int k = 0; k < DM_MAX_OUT; k++) {
        release(&w->out[k]);
        release(&w->dout[k]);
        free(w->y[k]);
        free(w->dy[k]);
    }
    free(w);
}
