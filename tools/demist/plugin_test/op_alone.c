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

/* The outputs where input k moves by h along v, one behind the other; NULL was said. */
static float *moved(work *w, int k, const float *v, double h)
{
    const plugin_test_array *a = &w->q->in[k];
    float *x = malloc((size_t)w->in[k].n * sizeof *x), *y = NULL;
    int64_t n = 0, at = 0;
    dm_err err = {0};
    bool ok = x != NULL;

    for (int o = 0; o < w->q->op->n_out; o++)
        n += w->out[o].n;
    for (int64_t i = 0; ok && i < w->in[k].n; i++)
        x[i] = (float)((double)((const float *)a->host)[i] + h * (double)v[i]);
    ok = ok && !set(&w->in[k], x, 0, &err) && forward(w, NAN) && (y = malloc((size_t)n * sizeof *y));
    for (int o = 0; ok && o < w->q->op->n_out; at += w->out[o].n, o++)
        memcpy(y + at, w->y[o], (size_t)w->out[o].n * sizeof *y);
    free(x);
    if (!set(&w->in[k], a->host, 0, &err))
        return y;
    free(y);
    return NULL;
}

/* Half the difference of the outputs on both sides of input k, times dout; *size: of what changed. */
static bool difference(work *w, int k, const float *v, double h, double *sum, double *size)
{
    float *up = moved(w, k, v, h), *down = moved(w, k, v, -h);
    int64_t at = 0;

    *sum = *size = 0;
    for (int o = 0; up && down && o < w->q->op->n_out; at += w->out[o].n, o++)
        for (int64_t i = 0; w->dy[o] && i < w->out[o].n; i++) {
            const double a = (double)up[at + i], b = (double)down[at + i], dy = (double)w->dy[o][i];

            *sum += (a - b) / 2 * dy;
            *size += a == b ? 0 : (a * a + b * b) / 2 * dy * dy;
        }
    *size = sqrt(*size);
    free(up);
    free(down);
    return up && down;
}

/* What backward() says of a direction, and what differences of forward() say: of fourth order, and where that does not
 * fit, as at a kink, with smaller and smaller steps, up to the rounding of forward(). */
typedef struct slope { double expected, found; bool known, fits; } slope;

static slope compare_slope(work *w, int k, const float *v)
{
    static const double precision = 4e-3, rounding = 1e-6;
    double size = 0.1, most = 0, part[2], changed[2];
    slope s = {0, 0, true, false};

    for (int64_t i = 0; i < w->in[k].n; i++) {
        s.expected += (double)w->dx[k][i] * (double)v[i];
        size = fmax(size, fabs((double)((const float *)w->q->in[k].host)[i]));
        most = fmax(most, fabs((double)v[i]));
    }
    for (double h = 2e-2 * size / fmax(most, 1e-30); h > 1e-4 * size / fmax(most, 1e-30) && !s.fits; h /= 8) {
        double found;

        if (!difference(w, k, v, h, &part[0], &changed[0]) || !difference(w, k, v, h / 2, &part[1], &changed[1]))
            return (slope){.known = false};
        found = (8 * part[1] - part[0]) / (3 * h);
        s.fits = fabs(s.expected - found) <=
                 precision * fmax(fabs(s.expected), fabs(found)) + rounding * fmax(changed[0], changed[1]) / h;
        if (h > 1e-2 * size / fmax(most, 1e-30) || s.fits)
            s.found = found;
    }
    return s;
}

/* Says it; false where nothing was wrong. */
static bool element_at_fault(work *w, int k, int64_t element, float *v)
{
    slope s;

    memset(v, 0, (size_t)w->in[k].n * sizeof *v);
    v[element] = 1;
    s = compare_slope(w, k, v);
    if (s.known && s.fits)
        return false;
    if (s.known)
        plugin_test_fail(w->t, "op '%s': backward() gives %.5g for the gradient of input %d at element %lld; finite "
                         "differences of forward() give %.5g", w->q->op->name, s.expected, k, (long long)element,
                         s.found);
    return true;
}

/* The largest gradient, or one of a spread. */
static bool find_element(work *w, int k, float *v)
{
    enum { LOOKED_AT = 64 };
    const int64_t n = w->in[k].n, looked = n < LOOKED_AT ? n : LOOKED_AT;
    int64_t largest = 0;

    for (int64_t i = 0; i < n; i++)
        if (fabsf(w->dx[k][i]) > fabsf(w->dx[k][largest]))
            largest = i;
    if (element_at_fault(w, k, largest, v))
        return true;
    for (int64_t e = 0; e < looked; e++)
        if (element_at_fault(w, k, e * n / looked, v))
            return true;
    return false;
}

/* Along a wave, which meets what backward() leaves out, and along backward()'s own direction, where a factor shows;
 * where one is wrong, the element at fault is looked for. */
static bool check_input(work *w, int k)
{
    const int64_t n = w->in[k].n;
    float *v = malloc((size_t)n * sizeof *v);
    slope s = {0, 0, true, true};

    if (!v)
        return false;
    for (int own = 0; own < 2 && s.known && s.fits; own++) {
        for (int64_t i = 0; i < n; i++)
            v[i] = !own ? (float)cos(1.9 * (double)i + k) : w->dx[k][i] < 0 ? -1 : w->dx[k][i] > 0;
        s = compare_slope(w, k, v);
    }
    if (s.known && !s.fits && !find_element(w, k, v))
        plugin_test_fail(w->t, "op '%s': along a direction backward() gives %.5g for the gradient of input %d; finite "
                         "differences of forward() give %.5g", w->q->op->name, s.expected, k, s.found);
    free(v);
    return s.known && s.fits;
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
