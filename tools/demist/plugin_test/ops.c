/* Checks of the ops that a network brings: each by itself, on the values that the network gives it, in buffers with
 * guard words, and its backward against finite differences of its forward. */
#include "plugin_test/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net_make.h"
#include "plugin_test/settings.h"

enum { EXAMPLES = 3 };

/* The network's graph, its plan, and all that it is made of. */
typedef struct bench {
    dm_session s;
    dm_net *net;
    dm_wset *weights;
    dm_graph_core *graph;
    dm_plan *plan;
    dm_val x, c_in, c_noise, labels, out;
    dm_net_level level;
} bench;

static float wave(int64_t i, double from) { return (float)sin(2.3 * (double)i + from); }

static void describe(bench *b, const dm_graph *api, const dm_shape *example)
{
    const dm_shape s = dm_net_batch_shape(example, EXAMPLES, example->dim[0]), row = {1, {EXAMPLES}};
    dm_graph_core *g = b->graph;
    dm_val x;

    b->x = dm_graph_input(g, "x", &s, DM_DT_F32, false);
    if (b->x >= 0)
        g->values[b->x].needs_grad = true;
    b->c_in = b->c_noise = DM_NONE;
    x = dm_graph_to_image(g, b->x);
    if (dm_net_diffuses(b->net)) {
        b->c_in = dm_graph_input(g, "c_in", &row, DM_DT_F32, false);
        b->c_noise = dm_graph_input(g, "c_noise", &row, DM_DT_F32, false);
        x = api->mul(api, x, b->c_in);
        dm_net_level_inputs(&b->level, g, EXAMPLES);
        dm_net_set_level(g, &b->level);
    }
    b->labels = dm_net_label_input(b->net, g, EXAMPLES);
    b->out = dm_graph_to_rows(g, dm_net_build(b->net, g, api, x, b->c_noise, b->labels));
}

/* Weights that are nowhere 0, also where the network begins with zeros. */
static dm_status write_weights(bench *b, dm_err *err)
{
    const dm_layout *l = dm_net_layout(b->net);
    float *host = dm_array(1, (int64_t)l->total, sizeof *host);
    dm_status rc;

    if (!host)
        return dm_error(err, DM_ENOMEM, "out of memory for the weights");
    dm_layout_init_values(l, 7, host);
    for (size_t i = 0; i < l->total; i++)
        host[i] += 0.03f * wave((int64_t)i, 1);
    rc = dm_buf_write(dm_wset_flat(b->weights), 0, l->total * sizeof *host, host, err);
    free(host);
    dm_wset_touch(b->weights);
    return rc;
}

static dm_status write_row(bench *b, dm_val v, const double row[EXAMPLES], dm_err *err)
{
    float host[EXAMPLES];
    dm_buf *to = v >= 0 ? dm_plan_buffer(b->plan, v) : NULL;

    for (int i = 0; i < EXAMPLES; i++)
        host[i] = (float)row[i];
    return to ? dm_buf_write(to, 0, sizeof host, host, err) : DM_OK;
}

/* Each example at a level of its own. */
static dm_status write_inputs(bench *b, dm_err *err)
{
    const int64_t n = dm_shape_count(&b->graph->values[b->x].shape);
    double c_in[EXAMPLES] = {1, 1, 1}, c_noise[EXAMPLES] = {0, 0, 0}, level[DM_LEVELS][EXAMPLES];
    const int32_t labels[EXAMPLES] = {0, 1, 0};
    float *x = dm_array(1, n, sizeof *x);
    dm_status rc;

    if (!x)
        return dm_error(err, DM_ENOMEM, "out of memory for x");
    for (int64_t i = 0; i < n; i++)
        x[i] = 1.2f * wave(i, 0.4);
    rc = dm_buf_write(dm_plan_buffer(b->plan, b->x), 0, (size_t)n * sizeof *x, x, err);
    free(x);
    for (int i = 0; i < EXAMPLES && !rc && dm_net_diffuses(b->net); i++) {
        dm_instance *objective = dm_net_objective(b->net);
        double v[DM_LEVELS];
        dm_affine a;
        dm_point p;

        dm_noise_at(b->s.noise, (0.1 + 0.4 * i) * dm_noise_T(b->s.noise), &p);
        if ((rc = DM_CALL(objective, DM_CB_AFFINE, err, objective->plugin->objective->affine(&objective->ctx, &p, &a))))
            return rc;
        dm_net_level_values(&p, &a, v);
        c_in[i] = a.c_in;
        c_noise[i] = a.c_noise;
        for (int k = 0; k < DM_LEVELS; k++)
            level[k][i] = v[k];
    }
    if (rc || !dm_net_diffuses(b->net))
        return rc;
    if ((rc = write_row(b, b->c_in, c_in, err)) || (rc = write_row(b, b->c_noise, c_noise, err)))
        return rc;
    for (int k = 0; k < DM_LEVELS && !rc; k++)
        rc = write_row(b, b->level.row[k], level[k], err);
    if (!rc && b->labels >= 0)
        rc = dm_buf_write(dm_plan_buffer(b->plan, b->labels), 0, sizeof labels, labels, err);
    return rc;
}

/* The values that are to be there after a run: the network's inputs and those of its own ops. */
static dm_val *results_of(const bench *b, int *n)
{
    const dm_graph_core *g = b->graph;
    dm_val *r = dm_array(1, (int64_t)g->n_nodes * DM_MAX_IN + 16, sizeof *r);

    *n = 0;
    if (!r)
        return NULL;
    r[(*n)++] = b->out, r[(*n)++] = b->x, r[(*n)++] = b->c_in, r[(*n)++] = b->c_noise, r[(*n)++] = b->labels;
    for (int k = 0; k < DM_LEVELS; k++)
        r[(*n)++] = b->level.row[k];
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; g->nodes[i].custom && k < DM_MAX_IN; k++)
            if (g->nodes[i].in[k] >= 0)
                r[(*n)++] = g->nodes[i].in[k];
    return r;
}

static dm_status run_network(bench *b, const plugin_test_data *d, dm_err *err)
{
    const dm_plan_options o = {.name = "network"};
    const dm_graph *api;
    dm_val *results;
    dm_status rc;
    int n;

    dm_net_level_none(&b->level);
    if ((rc = dm_net_graph(b->net, false, &b->graph, &api, err)))
        return rc;
    describe(b, api, &d->shape);
    if (b->graph->err.code)
        return dm_error(err, b->graph->err.code, "%s", b->graph->err.msg);
    if (!(results = results_of(b, &n)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    rc = dm_plan_new(b->s.device, b->graph, b->weights, results, n, &o, &b->plan, err);
    free(results);
    if (rc || (rc = write_weights(b, err)) || (rc = write_inputs(b, err)))
        return rc;
    return dm_plan_run(b->plan, err);
}

/* The values of node n's inputs, as an op sees them. */
static dm_status gather(const bench *b, const dm_gnode *n, const bool *used, plugin_test_op *op, dm_err *err)
{
    dm_status rc = DM_OK;

    *op = (plugin_test_op){.op = n->custom, .owner = n->owner, .device = b->s.device};
    for (int k = 0; k < n->custom->n_in && !rc; k++) {
        const dm_value *v = &b->graph->values[n->in[k]];
        const size_t bytes = (size_t)dm_shape_count(&v->shape) * sizeof(float);

        op->in[k] = (plugin_test_array){.shape = v->shape, .integers = v->type != DM_DT_F32,
                                        .wants_gradient = v->needs_grad, .host = malloc(bytes)};
        rc = op->in[k].host ? dm_buf_read(dm_plan_buffer(b->plan, n->in[k]), 0, bytes, op->in[k].host, err)
                            : dm_error(err, DM_ENOMEM, "out of memory");
    }
    for (int k = 0; k < n->custom->n_out; k++)
        op->out[k] = (plugin_test_array){.shape = b->graph->values[n->out[k]].shape, .used = used[n->out[k]]};
    return rc;
}

static void check_ops(plugin_test *t, const bench *b, const char *data)
{
    bool *used = calloc(b->graph->n_values ? b->graph->n_values : 1, sizeof *used);
    int found = 0;

    if (used)
        dm_graph_reach(b->graph, b->out, true, used);
    else
        plugin_test_fail(t, "out of memory");
    for (size_t i = 0; used && i < b->graph->n_nodes && t->failed < 3; i++) {
        const dm_gnode *n = &b->graph->nodes[i];
        plugin_test_op op;
        dm_err err = {0};

        if (!n->custom)
            continue;
        found++;
        if (gather(b, n, used, &op, &err))
            plugin_test_fail(t, "%s: op '%s': %s", data, n->custom->name, err.msg);
        else
            plugin_test_op_alone(t, &op);
        for (int k = 0; k < DM_MAX_IN; k++)
            free(op.in[k].host);
    }
    if (found)
        plugin_test_note(t, "%s: %d uses of its own ops were checked", data, found);
    else
        plugin_test_note(t, "it has no ops of its own");
}

/* False where it was said why not. */
static bool check_with(plugin_test *t, const plugin_test_data *d)
{
    const dm_device_options options = {0};
    const dm_data_info data = plugin_test_info(d);
    const char *text = "";
    bench b = {.net = NULL};
    dm_err err = {0};

    if (plugin_test_examine(t, PLUGIN_TEST_AS_IT_IS, &data, &b.s, &text, &err) ||
        dm_device_open(t->device, &options, &b.s.device, &err) ||
        dm_net_new(b.s.experiment, b.s.noise, b.s.device, &data, 0, &b.net, &err) ||
        dm_wset_new(b.s.device, dm_net_layout(b.net), &b.weights, &err) || run_network(&b, d, &err))
        plugin_test_fail(t, "%s: %s", d->name, err.msg);
    else
        check_ops(t, &b, d->name);
    dm_plan_free(b.plan);
    dm_graph_free(b.graph);
    dm_wset_free(b.weights);
    dm_net_free(b.net);
    dm_session_fini(&b.s);
    return !t->failed;
}

/* With the first data that it takes, and with images of sides that are not even and not alike. */
void plugin_test_ops(plugin_test *t)
{
    const plugin_test_data *first, *d;
    const char *text = "", *why;
    dm_err err = {0};

    if (!(first = plugin_test_taken(t, PLUGIN_TEST_AS_IT_IS, &text, &err))) {
        plugin_test_fail(t, "%s", err.code ? err.msg : text);
        return;
    }
    if (!check_with(t, first))
        return;
    for (d = first + 1; d->name && !t->failed; d++)
        if (d->shape.dim[1] != d->shape.dim[2] && !plugin_test_refused(t, d, &why, &err) && !check_with(t, d))
            return;
}
