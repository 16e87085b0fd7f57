/* One micro-batch of training: noise, the objective's loss, its gradient, as one plan. Coefficients that
 * change from step to step come in as rows of one small buffer. */
#include "model/net.h"

#include "graph/op_def.h"
#include "model/objective.h"

#include <stdlib.h>
#include <string.h>

/* Rows of coefficients; the objective's own scalars follow. */
enum { LEVEL, C_SKIP = LEVEL + DM_LEVELS, C_OUT, C_NOISE, WEIGHT, SCALARS, MAX_ROWS = SCALARS + 64 };
enum { ALPHA = LEVEL + DM_LEVEL_ALPHA, SIGMA = LEVEL + DM_LEVEL_SIGMA, C_IN = LEVEL + DM_LEVEL_C_IN };
enum { WORTH = 256 << 10 };       /* bytes that another launch is worth */

struct dm_grad_step {
    dm_net *model;
    dm_device *device;
    int64_t n;
    size_t stride;                 /* floats from row to row */
    int32_t rows;
    dm_graph_core *graph;
    dm_plan *plan;
    dm_val x0, noise, labels, labels_read, state, row[MAX_ROWS], loss;
    dm_condition_inputs conditions;
    bool writes;                   /* gradients, instead of adding to them */
    dm_buf *coef, *window[MAX_ROWS];
    float *host;
};

/* The objective's batch, its loss, and the gradient of sum(weight loss). */
static void describe(dm_grad_step *s, const dm_graph *api, dm_val loss_sum)
{
    dm_graph_core *g = s->graph;
    dm_instance *obj = dm_net_objective(s->model);
    const dm_objective *o = obj->plugin->objective;
    const dm_data_info *data = dm_net_data(s->model);
    const dm_shape x = dm_net_batch_shape(&data->shape, s->n, data->shape.dim[0]);
    dm_batch b = {.size = sizeof b,
                  .labels = s->labels,
                  .noise = DM_NONE,
                  .xt = DM_NONE,
                  .c_skip = DM_NONE,
                  .c_out = DM_NONE,
                  .c_in = DM_NONE,
                  .c_noise = DM_NONE,
                  .scalar = s->row + SCALARS,
                  .weights = 0};
    dm_net_level level;
    dm_gnode *n;
    dm_val sum;

    s->x0 = dm_graph_input(g, "x0", &x, DM_DT_F32, false);
    b.x0 = dm_graph_to_image(g, s->x0);
    if (o->affine) {
        if (loss_sum >= 0 && dm_net_couples(s->model))
            s->noise = dm_graph_input(g, "noise", &x, DM_DT_F32, false);
        b.noise = s->noise >= 0 ? dm_graph_to_image(g, s->noise) : dm_graph_randn(g, b.x0, DM_PURPOSE_NOISE, 0, 0);
        b.xt = api->add(api, api->mul(api, b.x0, s->row[ALPHA]), api->mul(api, b.noise, s->row[SIGMA]));
        b.c_skip = s->row[C_SKIP];
        b.c_out = s->row[C_OUT];
        b.c_in = s->row[C_IN];
        b.c_noise = s->row[C_NOISE];
        for (int i = 0; i < DM_LEVELS; i++)
            level.row[i] = s->row[LEVEL + i];
        dm_net_set_level(g, &level);
    }
    g->owner = obj;
    dm_call_enter(obj, DM_CB_LOSS, &obj->err);
    s->loss = o->loss(&obj->ctx, api, &b);
    dm_call_leave(DM_OK, NULL);
    g->owner = NULL;
    if (!dm_graph_returned(g, obj, "loss()", s->loss))
        return;
    if (g->values[s->loss].shape.rank != 1 || g->values[s->loss].shape.dim[0] != s->n) {
        dm_graph_fail(g, DM_EINVAL, "objective '%s' returns a loss f32[%s]; it must be f32[N], one for each of the "
                      "%lld examples", obj->plugin->name,
                      g->values[s->loss].shape.rank ? dm_shape_show(&g->values[s->loss].shape).text : "",
                      (long long)s->n);
        return;
    }
    if (loss_sum < 0) /* the losses alone are wanted */
        return;
    sum = api->mul(api, s->loss, s->row[WEIGHT]);
    if ((n = dm_graph_node(g, DM_OP_REDUCE, &sum, 1, &loss_sum, 1))) {
        n->op.accum = true;
        n->op.a.reduce.outer = n->op.a.reduce.inner = 1;
        n->op.a.reduce.red = s->n;
        n->op.a.reduce.k = 1;
    }
}

static bool needs_full_precision(const dm_opnode *n, bool forward)
{
    const dm_op_def *def = dm_op_def_of(n->kind);

    return def->full_precision && dm_op_16bit_type(n) == DM_DT_F32 && def->full_precision(n, forward);
}

/* Gradients of linear layers are linear layers too, and follow the forward pass's nodes. */
static void mark_full_precision(dm_graph_core *g, size_t n_forward)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        g->nodes[i].op.full_precision = needs_full_precision(&g->nodes[i].op, i < n_forward);
}

static dm_status finish(dm_grad_step *s, bool differentiate, bool alone, dm_err *err)
{
    dm_graph_core *g = s->graph;
    size_t n_forward;
    dm_status rc;

    if (g->err.code)
        return dm_error(err, g->err.code, "%s", g->err.msg);
    dm_graph_fuse(g, &s->loss, 1);
    dm_graph_prune(g, &s->loss, 1);
    dm_graph_number_dropouts(g, s->loss);
    dm_net_precision(s->model, g, &s->loss, 1);
    n_forward = g->n_nodes;
    if (differentiate && (rc = dm_graph_differentiate(g, s->loss, s->row[WEIGHT], NULL, 0, NULL, err)))
        return rc;
    dm_graph_prune(g, &s->loss, 1);
    dm_net_insert_casts(s->model, g);
    if (differentiate)
        mark_full_precision(g, n_forward);
    if (differentiate && dm_net_recomputes(s->model))
        dm_graph_recompute(g, &s->loss, 1, WORTH);
    s->writes = differentiate && alone && !g->err.code && dm_graph_write_gradients(g);
    return g->err.code ? dm_error(err, g->err.code, "%s", g->err.msg) : DM_OK;
}

static dm_status make_rows(dm_grad_step *s, dm_err *err)
{
    const size_t align = dm_device_get_info(s->device)->align / sizeof(float);
    dm_status rc;

    s->stride = ((size_t)s->n + align - 1) / align * align;
    if (!(s->host = calloc(s->stride * (size_t)s->rows, sizeof *s->host)))
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)s->n);
    if ((rc = dm_buf_new(s->device, s->stride * (size_t)s->rows * sizeof(float), "coefficients", &s->coef, err)))
        return rc;
    for (int32_t i = 0; i < s->rows; i++) {
        if ((rc = dm_buf_window(s->coef, (size_t)i * s->stride * sizeof(float), (size_t)s->n * sizeof(float),
                                &s->window[i], err)))
            return rc;
    }
    return DM_OK;
}

/* An empty graph with its inputs; *loss_sum is one of them in training. */
static dm_status begin(dm_grad_step *s, dm_net *m, int64_t n, bool training, const dm_graph **api, dm_val *loss_sum,
                       dm_err *err)
{
    const dm_status rc = dm_net_graph(m, training, &s->graph, api, err);

    s->model = m;
    s->n = n;
    if (rc)
        return rc;
    for (int32_t i = 0; i < MAX_ROWS; i++)
        s->row[i] = DM_NONE; /* a scalar that an objective does not have is none */
    s->rows = SCALARS + dm_net_objective(m)->plugin->objective->n_scalars;
    for (int32_t i = 0; i < s->rows; i++)
        s->row[i] = dm_graph_input(s->graph, "coefficients", &(dm_shape){1, {n}}, DM_DT_F32, false);
    s->labels =
        dm_net_data(m)->classes ? dm_graph_input(s->graph, "labels", &(dm_shape){1, {n}}, DM_DT_I32, false) : DM_NONE;
    s->labels_read = s->noise = DM_NONE;
    if (training && dm_net_drops_labels(m)) {
        s->labels_read = dm_graph_input(s->graph, "labels", &(dm_shape){1, {n}}, DM_DT_I32, false);
        dm_net_set_labels_read(s->graph, s->labels, s->labels_read);
    }
    dm_condition_inputs_add(&s->conditions, dm_net_conditions(m), s->graph, n);
    dm_net_set_conditions(s->graph, &s->conditions);
    *loss_sum = !training ? DM_NONE : dm_graph_input(s->graph, "loss_sum", &(dm_shape){1, {1}}, DM_DT_F32, false);
    return DM_OK;
}

/* Of a graph with its gradients. That none is trained is an error. */
static dm_status find_unreached(const dm_grad_step *s, dm_unreached *u, dm_err *err)
{
    const dm_graph_core *g = s->graph;
    const dm_layout *l = dm_net_layout(s->model);
    int32_t reached = 0;

    for (size_t i = 0; i < g->n_weights; i++) {
        const dm_weight *w = &g->weights[i];
        const int32_t k = dm_layout_find(l, w->key);

        reached += w->reached;
        if (w->reached)
            continue;
        if (k >= 0 && l->weights[k].frozen) {
            if (!u->n_frozen++)
                snprintf(u->frozen, sizeof u->frozen, "%s", w->key);
        } else if (!u->n++) {
            snprintf(u->first, sizeof u->first, "%s", w->key);
        }
    }
    return reached ? DM_OK
                   : dm_error(err, DM_EINVAL,
                              "no gradient of the loss of objective '%s' reaches any weight; there is nothing to train",
                              dm_net_objective(s->model)->plugin->name);
}

dm_status dm_grad_step_examine(dm_net *m, dm_unreached *unreached, dm_err *err)
{
    dm_grad_step s = {0};
    const dm_graph *api;
    dm_val sum;
    dm_status rc = begin(&s, m, 1, true, &api, &sum, err);

    if (!rc) {
        describe(&s, api, sum);
        rc = finish(&s, true, true, err);
    }
    if (!rc)
        rc = find_unreached(&s, unreached, err);
    dm_graph_free(s.graph);
    return rc;
}

dm_status dm_grad_step_new(dm_net *m, dm_wset *weights, dm_buf *grads, dm_buf *loss_sum, int64_t n, bool alone,
                           dm_grad_step **out, dm_err *err)
{
    dm_grad_step *s = calloc(1, sizeof *s);
    dm_bind binds[MAX_ROWS + 1];
    dm_plan_options o = {.binds = binds,
                         .grads = grads,
                         .trains = true,
                         .name = grads ? "grad" : "loss",
                         .choices = dm_net_choices(m),
                         .runs = dm_net_expected(m)};
    dm_val sum, keep[6 + DM_CONDITION_INPUTS_KEPT];
    const dm_graph *api;
    dm_status rc;

    if (!s)
        return dm_error(err, DM_ENOMEM, "out of memory for a training step");
    s->device = dm_buf_device(dm_wset_flat(weights));
    if ((rc = begin(s, m, n, grads, &api, &sum, err)) || (rc = make_rows(s, err)))
        goto failed;
    describe(s, api, sum);
    if ((rc = finish(s, grads, alone, err)))
        goto failed;
    s->state = s->graph->state;
    for (int32_t i = 0; i < s->rows; i++)
        binds[i] = (dm_bind){s->row[i], s->window[i]};
    binds[s->rows] = (dm_bind){sum, loss_sum};
    o.n_binds = s->rows + (grads ? 1 : 0);
    keep[0] = s->loss, keep[1] = s->x0, keep[2] = s->labels, keep[3] = s->state;
    keep[4] = s->labels_read, keep[5] = s->noise;
    dm_condition_inputs_keep(&s->conditions, keep + 6);
    if ((rc = dm_plan_new(s->device, s->graph, weights, keep, 6 + DM_CONDITION_INPUTS_KEPT, &o, &s->plan, err)))
        goto failed;
    *out = s;
    return DM_OK;
failed:
    dm_grad_step_free(s);
    return rc;
}

void dm_grad_step_free(dm_grad_step *s)
{
    if (!s)
        return;
    dm_plan_free(s->plan);
    dm_graph_free(s->graph);
    for (int32_t i = 0; i < s->rows; i++)
        dm_buf_free(s->window[i]);
    dm_buf_free(s->coef);
    free(s->host);
    free(s);
}

dm_plan *dm_grad_step_plan(dm_grad_step *s) { return s->plan; }
bool dm_grad_step_writes(const dm_grad_step *s) { return s->writes; }

/* The coefficients of example i. */
static dm_status fill(dm_grad_step *s, int64_t i, const dm_grad_batch *b, dm_err *err)
{
    dm_instance *obj = dm_net_objective(s->model);
    const dm_objective *o = obj->plugin->objective;
    const dm_point *at = b->at ? &b->at[i] : NULL;
    float *host = s->host + i;
    double scalar[64] = {0}, level[DM_LEVELS];
    dm_point before;
    dm_affine a;
    dm_status rc;

    host[WEIGHT * s->stride] = (float)b->weight[i];
    if (o->affine) {
        const bool discrete = dm_noise_discrete(obj->services->noise);

        if ((rc = dm_objective_affine(obj, at, &a, err)))
            return rc;
        if (discrete)
            dm_noise_at(obj->services->noise, at->t - 1, &before);
        if ((rc = dm_objective_scalars(obj, at, discrete ? &before : NULL, scalar, err)))
            return rc;
        dm_net_level_values(at, &a, level);
        for (int k = 0; k < DM_LEVELS; k++)
            host[(size_t)(LEVEL + k) * s->stride] = (float)level[k];
        host[C_SKIP * s->stride] = (float)a.c_skip;
        host[C_OUT * s->stride] = (float)a.c_out;
        host[C_NOISE * s->stride] = (float)a.c_noise;
    } else if ((rc = dm_objective_scalars(obj, NULL, NULL, scalar, err))) {
        return rc;
    }
    for (int32_t k = 0; k < o->n_scalars; k++)
        host[(size_t)(SCALARS + k) * s->stride] = (float)scalar[k];
    return DM_OK;
}

dm_status dm_grad_step_run(dm_grad_step *s, const dm_grad_batch *b, dm_err *err)
{
    const uint32_t state[DM_STATE_WORDS] = {[DM_STATE_SEED_LO] = (uint32_t)b->seed,
                                            [DM_STATE_SEED_HI] = (uint32_t)(b->seed >> 32),
                                            [DM_STATE_STEP] = b->step,
                                            [DM_STATE_FIRST_INDEX] = b->first_index};
    dm_buf *x0 = dm_plan_buffer(s->plan, s->x0);
    dm_status rc;

    for (int64_t i = 0; i < s->n; i++)
        if ((rc = fill(s, i, b, err)))
            return rc;
    if ((rc = dm_buf_write(s->coef, 0, s->stride * (size_t)s->rows * sizeof(float), s->host, err)) ||
        (rc = dm_buf_write(x0, 0, dm_buf_bytes(x0), b->x0, err)))
        return rc;
    if (s->noise >= 0 && (rc = dm_buf_write(dm_plan_buffer(s->plan, s->noise), 0, dm_buf_bytes(x0), b->noise, err)))
        return rc;
    if (s->labels >= 0 && b->labels &&
        (rc = dm_buf_write(dm_plan_buffer(s->plan, s->labels), 0, (size_t)s->n * sizeof *b->labels, b->labels, err)))
        return rc;
    if (s->labels_read >= 0 && b->labels_read &&
        (rc = dm_buf_write(dm_plan_buffer(s->plan, s->labels_read), 0, (size_t)s->n * sizeof *b->labels_read,
                           b->labels_read, err)))
        return rc;
    if (b->conditions && (rc = dm_condition_batch_upload(b->conditions, &s->conditions, s->plan, err)))
        return rc;
    if (s->state >= 0 && (rc = dm_buf_write(dm_plan_buffer(s->plan, s->state), 0, sizeof state, state, err)))
        return rc;
    return dm_plan_run_watched(s->plan, b->watch, err);
}

dm_buf *dm_grad_step_loss(const dm_grad_step *s) { return dm_plan_buffer(s->plan, s->loss); }

dm_status dm_grad_step_losses(dm_grad_step *s, float *loss, dm_err *err)
{
    return dm_buf_read(dm_plan_buffer(s->plan, s->loss), 0, (size_t)s->n * sizeof *loss, loss, err);
}
