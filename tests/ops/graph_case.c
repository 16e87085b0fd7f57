/* See graph_case.h. */
#include "graph_case.h"

#include "plan/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const keys[GRAPH_INPUTS] = {"x0", "x1", "x2"};

typedef struct run {
    const graph_case *c;
    int n_x;
    int64_t count[GRAPH_INPUTS], n_y;
    double *x[GRAPH_INPUTS], *coef, *y;
    double tolerance;
} run;

static uint32_t word;
static double uniform(double lo, double hi)
{
    word = word * 1664525u + 1013904223u;
    return lo + (hi - lo) * (((word >> 8) + 0.5) / 16777216.0);
}

static int64_t count_of(const dm_shape *s)
{
    int64_t n = 1;

    for (int32_t i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

static double *numbers(int64_t n, double lo, double hi)
{
    double *v = malloc((size_t)n * sizeof *v);

    assert_non_null(v);
    for (int64_t i = 0; i < n; i++)
        v[i] = (double)(float)uniform(lo, hi);
    return v;
}

/* Sum of coef y over the number of elements. */
static double loss_of(const run *r)
{
    double sum = 0;

    r->c->reference(r->c, (const double *const *)r->x, r->y);
    for (int64_t i = 0; i < r->n_y; i++)
        sum += r->coef[i] * r->y[i];
    return sum / (double)r->n_y;
}

static void compare(const run *r, const char *what, int64_t n, const float *got, const double *want)
{
    double largest = 1e-30;

    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= r->tolerance * largest))
            fail_msg("%s: %s, element %lld is %.9g; it should be %.9g (largest %.3g)", r->c->name, what, (long long)i,
                     (double)got[i], want[i], largest);
}

static void compare_gradient(const run *r, int k, const float *got)
{
    double *want = malloc((size_t)r->count[k] * sizeof *want);

    for (int64_t i = 0; i < r->count[k]; i++) {
        const double x = r->x[k][i], h = 1e-5;
        double up;

        r->x[k][i] = x + h;
        up = loss_of(r);
        r->x[k][i] = x - h;
        want[i] = (up - loss_of(r)) / (2 * h);
        r->x[k][i] = x;
    }
    compare(r, keys[k], r->count[k], got, want);
    free(want);
}

static void must(dm_status rc, const graph_case *c, const dm_err *err)
{
    if (rc)
        fail_msg("%s: %s", c->name, err->msg);
}

/* y as rows, and the loss. */
static dm_val describe(const run *r, const dm_graph *api, dm_graph_core *g, dm_val results[2])
{
    const graph_case *c = r->c;
    float *coef = malloc((size_t)r->n_y * sizeof *coef);
    const float one = 1;
    dm_val x[GRAPH_INPUTS], y, flat;

    g->builds = 1;
    for (int i = 0; i < r->n_x; i++)
        x[i] = api->weight(api, keys[i], &c->x[i], 0);
    y = c->build(api, c, x);
    if (y >= 0) {
        const dm_shape s = api->shape(api, y);

        if (s.rank != c->y.rank || memcmp(s.dim, c->y.dim, (size_t)s.rank * sizeof s.dim[0]))
            fail_msg("%s: has rank %d, [%lld,%lld,...]", c->name, (int)s.rank, (long long)s.dim[0],
                     (long long)s.dim[1]);
    }
    for (int64_t i = 0; i < r->n_y; i++)
        coef[i] = (float)r->coef[i];
    flat = api->reshape(api, y, &(dm_shape){2, {1, r->n_y}});
    results[1] = flat;
    results[0] = api->mean(api, api->mul(api, flat, api->constant(api, coef, &(dm_shape){2, {1, r->n_y}})));
    free(coef);
    return api->constant(api, &one, &(dm_shape){1, {1}});
}

/* A product of f32 split in bf16: either factor loses at most 2^-18 of itself, and the product of what is left of both
 * is dropped. That is of the sum of the terms' magnitudes, which is below twice the largest result in these cases. */
#define SPLIT_TOLERANCE (2 * 3 * 0x1p-18)

/* The case's, or what the implementation that is forced can keep where that is less (harness.c compares op by op). */
static double tolerance_of(const graph_case *c, const dm_graph_core *g)
{
    const char *forced = getenv("DEMIST_IMPL");
    double tolerance = c->tolerance > 0 ? c->tolerance : 5e-6;
    const dm_impl *impl;

    for (size_t k = 0; forced && k < g->n_nodes; k++)
        for (int i = 0; (impl = dm_impl_at(g->nodes[k].op.kind, i)); i++)
            if (!strcmp(impl->name, forced) && impl->splits_f32)
                tolerance = fmax(tolerance, SPLIT_TOLERANCE);
    return tolerance;
}

static void on_device(dm_device *d, run *r)
{
    const graph_case *c = r->c;
    const dm_graph *api;
    dm_graph_core *g;
    dm_layout *l;
    dm_wset *w;
    dm_buf *grads;
    dm_plan *p;
    dm_val results[2], seed;
    float *host;
    dm_err err = {0};

    must(dm_graph_new(&g, &api, &err), c, &err);
    seed = describe(r, api, g, results);
    must(g->err.code, c, &g->err);
    dm_graph_fuse(g, results, 2);
    dm_graph_prune(g, results, 2);
    must(dm_graph_differentiate(g, results[0], seed, NULL, 0, NULL, &err), c, &err);
    dm_graph_prune(g, results, 2);
    r->tolerance = tolerance_of(c, g);
    must(dm_layout_new(g, dm_device_get_info(d)->align, dm_device_get_info(d)->max_alloc, &l, &err), c, &err);
    must(dm_wset_new(d, l, &w, &err), c, &err);
    must(dm_buf_new(d, l->total * sizeof *host, "gradients", &grads, &err), c, &err);
    must(dm_buf_zero(grads, 0, l->total * sizeof *host, &err), c, &err);
    host = calloc(l->total > (size_t)r->n_y ? l->total : (size_t)r->n_y, sizeof *host);
    for (int k = 0; k < r->n_x; k++)
        for (int64_t i = 0; i < r->count[k]; i++)
            host[l->offset[dm_layout_find(l, keys[k])] + (size_t)i] = (float)r->x[k][i];
    must(dm_buf_write(dm_wset_flat(w), 0, l->total * sizeof *host, host, &err), c, &err);
    must(dm_plan_new(d, g, w, results, 2, &(dm_plan_options){.grads = grads, .name = "case"}, &p, &err), c, &err);
    must(dm_plan_run(p, &err), c, &err);
    must(dm_buf_read(dm_plan_buffer(p, results[1]), 0, (size_t)r->n_y * sizeof *host, host, &err), c, &err);
    compare(r, "y", r->n_y, host, r->y);
    must(dm_buf_read(grads, 0, l->total * sizeof *host, host, &err), c, &err);
    for (int k = 0; k < r->n_x; k++)
        compare_gradient(r, k, host + l->offset[dm_layout_find(l, keys[k])]);
    free(host);
    dm_plan_free(p);
    dm_buf_free(grads);
    dm_wset_free(w);
    dm_layout_free(l);
    dm_graph_free(g);
}

void graph_check(dm_device *d, const graph_case *c)
{
    const bool usual = c->lo >= c->hi;
    run r = {.c = c, .n_y = count_of(&c->y)};

    word = 4711;
    while (r.n_x < GRAPH_INPUTS && c->x[r.n_x].rank > 0) {
        r.count[r.n_x] = count_of(&c->x[r.n_x]);
        r.x[r.n_x] = numbers(r.count[r.n_x], usual ? -2 : c->lo, usual ? 2 : c->hi);
        r.n_x++;
    }
    r.coef = numbers(r.n_y, -1, 1);
    r.y = malloc((size_t)r.n_y * sizeof *r.y);
    loss_of(&r);
    on_device(d, &r);
    for (int k = 0; k < r.n_x; k++)
        free(r.x[k]);
    free(r.coef);
    free(r.y);
}
