/* The network alone: a forward pass of a net with one set of weights; see net.h. */
#include "model/net_make.h"

#include "graph/graph_shape.h"

#include <stdlib.h>

struct dm_forward {
    int64_t n;
    dm_graph_core *graph;
    dm_plan *plan;
    dm_val x, c_in, c_noise, labels, out;
    dm_val vector, product;        /* DM_NONE without */
    dm_net_level level;
    dm_condition_inputs inputs;
    uint64_t serial;               /* of the conditions set last; 0 = none yet */
    int32_t conditions;
    dm_shape shape;
    float *host; /* c_in, c_noise and the noise level as last written */
    bool written[2 + DM_LEVELS], reads_level, has_level;
};

/* Appends vector' d head / dx. */
static void differentiate(dm_forward *f, const dm_graph *api, dm_val head, const char *network)
{
    dm_graph_core *g = f->graph;
    const dm_shape s = api->shape(api, f->x);
    dm_err ignored = {0}; /* the graph keeps it */

    f->vector = dm_graph_input(g, "vector", &s, DM_DT_F32, false);
    if (dm_graph_differentiate(g, head, dm_graph_to_image(g, f->vector), &f->x, 1, &f->product, &ignored))
        return;
    if (f->product == DM_NONE)
        dm_graph_fail(g, DM_EINVAL, "the output of network '%s' has no gradient with respect to x", network);
    else
        dm_graph_prune(g, (dm_val[]){f->out, f->product}, 2);
}

static void describe_forward(dm_forward *f, dm_net *m, const dm_graph *api, const dm_shape *example, bool product)
{
    const dm_shape s = dm_net_batch_shape(example, f->n, example->dim[0]), row = {1, {f->n}};
    const bool diffusion = dm_net_diffuses(m);
    dm_graph_core *g = f->graph;
    dm_val x, y, results[2];

    f->x = dm_graph_input(g, "x", &s, DM_DT_F32, false);
    if (product && f->x >= 0) {
        g->fixed_weights = true;
        g->values[f->x].needs_grad = true;
    }
    f->c_in = f->c_noise = DM_NONE;
    x = dm_graph_to_image(g, f->x);
    if (diffusion) {
        f->c_in = dm_graph_input(g, "c_in", &row, DM_DT_F32, false);
        f->c_noise = dm_graph_input(g, "c_noise", &row, DM_DT_F32, false);
        x = api->mul(api, x, f->c_in);
        dm_net_level_inputs(&f->level, g, f->n);
        dm_net_set_level(g, &f->level);
    }
    f->labels = dm_net_label_input(m, g, f->n);
    dm_condition_inputs_add(&f->inputs, dm_net_conditions(m), g, f->n);
    dm_net_set_conditions(g, &f->inputs);
    y = dm_net_build(m, g, api, x, f->c_noise, f->labels);
    results[0] = f->out = dm_graph_to_rows(g, y);
    results[1] = !product || dm_net_out_channels(m) == s.dim[1] ? y : api->slice(api, y, 1, 0, s.dim[1]);
    if (f->out >= 0 && results[1] >= 0) {
        const int n = product ? 2 : 1;

        f->shape = api->shape(api, f->out);
        dm_graph_fuse(g, results, n);
        dm_graph_prune(g, results, n);
        f->reads_level = dm_net_level_read(&f->level, g);
        dm_net_precision(m, g, results, n);
        if (product)
            differentiate(f, api, results[1], dm_net_network(m)->plugin->name);
        dm_net_insert_casts(m, g);
    }
}

static dm_status make(dm_net *m, dm_wset *weights, int64_t n, const dm_shape *example, bool product, dm_forward **out,
                      dm_err *err)
{
    dm_forward *f = calloc(1, sizeof *f);
    const dm_plan_options o = {
        .name = product ? "product" : "forward", .choices = dm_net_choices(m), .runs = dm_net_expected(m)};
    const dm_graph *api;
    dm_status rc;

    if (!f || !(f->host = calloc((2 + DM_LEVELS) * (size_t)n, sizeof *f->host))) {
        free(f);
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)n);
    }
    f->n = n;
    f->vector = f->product = DM_NONE;
    dm_net_level_none(&f->level);
    f->conditions = dm_net_conditions(m)->n;
    if (!(rc = dm_net_graph(m, false, &f->graph, &api, err))) {
        enum { FIXED = 7 + DM_LEVELS };
        dm_val keep[FIXED + DM_CONDITION_INPUTS_KEPT];

        describe_forward(f, m, api, example ? example : &dm_net_data(m)->shape, product);
        keep[0] = f->out, keep[1] = f->x, keep[2] = f->c_in, keep[3] = f->c_noise, keep[4] = f->labels;
        keep[5] = f->vector, keep[6] = f->product;
        for (int i = 0; i < DM_LEVELS; i++)
            keep[7 + i] = f->reads_level ? f->level.row[i] : DM_NONE;
        dm_condition_inputs_keep(&f->inputs, keep + FIXED);
        rc = f->graph->err.code ? dm_error(err, f->graph->err.code, "%s", f->graph->err.msg)
                                : dm_plan_new(dm_net_device(m), f->graph, weights, keep,
                                              FIXED + DM_CONDITION_INPUTS_KEPT, &o, &f->plan, err);
    }
    if (rc) {
        dm_forward_free(f);
        return rc;
    }
    *out = f;
    return DM_OK;
}

dm_status dm_forward_new(dm_net *m, dm_wset *weights, int64_t n, const dm_shape *example, dm_forward **out, dm_err *err)
{
    return make(m, weights, n, example, false, out, err);
}

dm_status dm_forward_new_product(dm_net *m, dm_wset *weights, int64_t n, dm_forward **out, dm_err *err)
{
    return make(m, weights, n, NULL, true, out, err);
}

void dm_forward_free(dm_forward *f)
{
    if (!f)
        return;
    dm_plan_free(f->plan);
    dm_graph_free(f->graph);
    free(f->host);
    free(f);
}

dm_buf *dm_forward_input(const dm_forward *f) { return dm_plan_buffer(f->plan, f->x); }
dm_shape dm_forward_shape(const dm_forward *f) { return f->shape; }
dm_buf *dm_forward_output(const dm_forward *f) { return dm_plan_buffer(f->plan, f->out); }
dm_buf *dm_forward_vector(const dm_forward *f) { return dm_plan_buffer(f->plan, f->vector); }
dm_buf *dm_forward_product(const dm_forward *f) { return dm_plan_buffer(f->plan, f->product); }
const dm_plan *dm_forward_plan(const dm_forward *f) { return f->plan; }

/* Unless it is there already: many objectives' c_in never changes. */
static dm_status write_row(dm_forward *f, int which, dm_val v, const double *from, dm_err *err)
{
    float *to = f->host + which * f->n;
    bool same = f->written[which];
    dm_status rc;

    if (v < 0)
        return DM_OK;
    for (int64_t i = 0; i < f->n; i++) {
        same = same && to[i] == (float)from[i];
        to[i] = (float)from[i];
    }
    rc = same ? DM_OK : dm_buf_write(dm_plan_buffer(f->plan, v), 0, (size_t)f->n * sizeof *to, to, err);
    f->written[which] = !rc;
    return rc;
}

dm_status dm_forward_level(dm_forward *f, const dm_point *p, const dm_affine *a, dm_err *err)
{
    double v[DM_LEVELS], *row;
    dm_status rc = DM_OK;

    if (!f->reads_level)
        return DM_OK;
    if (!(row = malloc((size_t)f->n * sizeof *row)))
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)f->n);
    dm_net_level_values(p, a, v);
    for (int k = 0; k < DM_LEVELS && !rc; k++) {
        for (int64_t i = 0; i < f->n; i++)
            row[i] = v[k];
        rc = write_row(f, 2 + k, f->level.row[k], row, err);
    }
    f->has_level = !rc;
    free(row);
    return rc;
}

dm_status dm_forward_vectors(dm_forward *f, const float *vectors, dm_err *err)
{
    dm_buf *to = f->labels >= 0 ? dm_plan_buffer(f->plan, f->labels) : NULL;

    return to ? dm_buf_write(to, 0, dm_buf_bytes(to), vectors, err) : DM_OK;
}

dm_status dm_forward_set_conditions(dm_forward *f, const dm_condition_batch *c, uint64_t serial, dm_err *err)
{
    dm_status rc;

    if (f->serial == serial)
        return DM_OK;
    rc = dm_condition_batch_upload(c, &f->inputs, f->plan, err);
    f->serial = rc ? 0 : serial;
    return rc;
}

dm_status dm_forward_run(dm_forward *f, const double *c_in, const double *c_noise, const int32_t *labels, dm_err *err)
{
    dm_status rc;

    if (f->reads_level && !f->has_level)
        return dm_error(err, DM_EINVAL, "the network reads alpha and sigma of a noise level, which are not known here");
    if (f->conditions && !f->serial)
        return dm_error(err, DM_EINVAL, "the network's conditions are missing, and it needs them here");
    if ((rc = write_row(f, 0, f->c_in, c_in, err)) || (rc = write_row(f, 1, f->c_noise, c_noise, err)))
        return rc;
    if (f->labels >= 0 && labels &&
        (rc = dm_buf_write(dm_plan_buffer(f->plan, f->labels), 0, (size_t)f->n * sizeof *labels, labels, err)))
        return rc;
    return dm_plan_run(f->plan, err);
}
