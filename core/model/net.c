/* The network and objective of an experiment; see net.h. */
#include "model/net_make.h"

#include "data/conditions.h"
#include "model/objective.h"
#include "graph/graph_shape.h"
#include "noise/importance.h"
#include "noise/noise_services.h"
#include "plan/precision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dm_net {
    dm_choices *choices;
    double runs;
    bool recompute;
    const dm_experiment *experiment;
    const dm_noise *noise;
    dm_device *device;
    dm_data_info data;
    int64_t label_width;
    int32_t out_channels;
    double noise_most;             /* the largest c_noise */
    bool reads_labels;
    dm_conditions conditions;
    dm_services services;
    dm_instance network, objective;
    size_t align;                  /* of the weights, and the most of them in one allocation; bytes */
    uint64_t most;
    dm_layout *layout;
};

/* What g->network belongs to; where the network is run on `labels`, it reads `labels_read`. */
typedef struct net_graph { dm_net *net; dm_net_level level; dm_condition_inputs conditions; dm_val labels,
    labels_read; } net_graph;

const dm_layout *dm_net_layout(const dm_net *m) { return m->layout; }
dm_instance *dm_net_objective(dm_net *m) { return &m->objective; }
const dm_instance *dm_net_network(const dm_net *m) { return &m->network; }
bool dm_net_diffuses(const dm_net *m) { return m->objective.plugin->objective->affine != NULL; }
bool dm_net_learns_variance(const dm_net *m)
{
    return dm_objective_learns(m->objective.plugin->objective, &m->data, m->out_channels);
}
bool dm_net_reads_labels(const dm_net *m) { return m->reads_labels; }
bool dm_net_drops_labels(const dm_net *m)
{
    return m->reads_labels && m->data.classes && m->conditions.drop_class > 0;
}
bool dm_net_couples(const dm_net *m) { return m->experiment->objective.coupling != DM_COUPLING_INDEPENDENT; }
dm_guiding_facts dm_net_can_be_guided(const dm_net *m)
{
    const dm_conditions *c = &m->conditions;
    const bool reads_class = m->data.classes && m->reads_labels;
    bool none = (reads_class || c->n) && (!reads_class || c->drop_class > 0);

    for (int32_t k = 0; k < c->n; k++)
        none = none && c->drop[k] > 0;
    return (dm_guiding_facts){.classes = m->data.classes, .conditions = c->n, .reads_classes = m->reads_labels,
                              .takes_none = none};
}
const dm_conditions *dm_net_conditions(const dm_net *m) { return &m->conditions; }
dm_device *dm_net_device(const dm_net *m) { return m->device; }
const dm_data_info *dm_net_data(const dm_net *m) { return &m->data; }
int32_t dm_net_out_channels(const dm_net *m) { return m->out_channels; }

dm_shape dm_net_batch_shape(const dm_shape *example, int64_t n, int64_t channels)
{
    dm_shape s = {.rank = example->rank + 1, .dim = {n, channels, 1, 1, 1, 1, 1, 1}};

    for (int32_t i = 1; i < example->rank && i < 7; i++)
        s.dim[i + 1] = example->dim[i];
    return s;
}

void dm_net_precision(const dm_net *m, dm_graph_core *g, const dm_val *results, int n)
{
    static const dm_dtype types[] = {
        [DM_PRECISION_FP32] = DM_DT_F32, [DM_PRECISION_BF16] = DM_DT_BF16, [DM_PRECISION_FP16] = DM_DT_F16};
    const dm_dtype type = types[m->experiment->run.precision];

    if (type != DM_DT_F32)
        dm_graph_choose_16bit(g, type, results, n);
}

void dm_net_insert_casts(const dm_net *m, dm_graph_core *g)
{
    /* without a device the graph is only looked at */
    if (m->device && m->experiment->run.precision != DM_PRECISION_FP32)
        dm_graph_insert_casts(g, dm_device_get_info(m->device));
}

/* Called for another batch or resolution a network must declare what it declared first: the weights are the same. */
static bool same_weights(const dm_net *m, dm_graph_core *g)
{
    const char *name = m->network.plugin->name;
    int32_t declared = 0;

    for (size_t i = 0; m->layout && i < g->n_weights; i++) {
        const dm_weight *w = &g->weights[i];
        const int32_t k = dm_layout_find(m->layout, w->key);

        declared += w->build == g->builds;
        if (k < 0 || !dm_same_shape(&w->shape, &m->layout->weights[k].shape)) {
            dm_graph_fail(g, DM_EINVAL,
                          "network '%s' declares weight '%s' with %s for another batch or resolution; a network "
                          "declares the same weights each time",
                          name, w->key, k < 0 ? "another name" : "another shape");
            return false;
        }
    }
    if (m->layout && declared != m->layout->n) {
        dm_graph_fail(g, DM_EINVAL,
                      "network '%s' declares %d weights for one batch or resolution and %d for another; a network "
                      "declares the same weights each time",
                      name, (int)m->layout->n, (int)declared);
        return false;
    }
    return true;
}

static uint32_t takes(const dm_net *m)
{
    const dm_network *n = m->network.plugin->network;

    return DM_HAS(dm_network, n, takes) && n->takes ? n->takes : DM_TAKES(DM_CONDITION_CLASS);
}

void dm_net_derive(const dm_net *m, const float *x0, const float *given, int64_t n, uint64_t seed, uint32_t step,
                   uint32_t first_index, dm_condition_batch *t)
{
    const int64_t example = dm_shape_count(&m->data.shape), all = dm_conditions_given(&m->conditions);

    for (int32_t k = 0; k < t->conditions; k++) {
        const bool of_data = m->conditions.derive[k] == DM_DERIVE_NONE;

        for (int64_t i = 0; i < n; i++) {
            if (of_data) {
                dm_condition_batch_set(t, k, i, given + i * all,
                                       t->length[k] ? (int64_t)given[i * all + t->size[k]] : 0);
                continue;
            }
            dm_condition_derive(&m->experiment->condition, &m->conditions, k, &m->data.shape, x0 + i * example, seed,
                                step, first_index + (uint32_t)i, t->value[k] + i * t->size[k]);
            t->given[k][i] = 1;
        }
        given += of_data ? dm_condition_size(&m->conditions.is[k]) : 0;
    }
}

/* All conditions of the network, of the kinds that it takes. */
static int32_t list_conditions(const dm_net *m, const dm_condition_inputs *t, dm_val labels,
                               dm_condition_in list[DM_MAX_CONDITIONS])
{
    const dm_conditions *c = &m->conditions;
    int32_t n = 0;

    if (m->data.classes && !m->label_width && takes(m) & DM_TAKES(DM_CONDITION_CLASS))
        list[n++] = (dm_condition_in){{"class", DM_CONDITION_CLASS, m->data.classes, {0}}, labels, DM_NONE, DM_NONE};
    for (int32_t k = 0; k < c->n; k++)
        if (t->value[k] != DM_NONE)
            list[n++] = (dm_condition_in){c->is[k], t->value[k], t->given[k], t->rows[k]};
    return n;
}

/* Without diffusion the output need not have the data's pixels. */
static bool fits(const dm_net *m, const dm_shape *out, const dm_shape *x)
{
    bool same = out->rank == x->rank || (out->rank == 2 && !dm_net_diffuses(m));

    same = same && out->dim[0] == x->dim[0] && out->dim[1] == m->out_channels;
    for (int32_t i = 2; same && i < out->rank; i++)
        same = out->dim[i] == x->dim[i];
    return same;
}

dm_val dm_net_build(dm_net *m, dm_graph_core *g, const dm_graph *api, dm_val x, dm_val noise, dm_val labels)
{
    const net_graph *of = g->network_user;
    const dm_val *level = of->level.row;
    dm_condition_in conditions[DM_MAX_CONDITIONS];
    const dm_net_in in = {.size = sizeof in,
                          .x = x,
                          .noise = noise,
                          .labels = labels,
                          .classes = m->data.classes,
                          .out_channels = m->out_channels,
                          .noise_most = m->noise_most,
                          .alpha = level[DM_LEVEL_ALPHA],
                          .sigma = level[DM_LEVEL_SIGMA],
                          .log_snr = level[DM_LEVEL_LOG_SNR],
                          .c_in = level[DM_LEVEL_C_IN],
                          .of_x0 = level[DM_LEVEL_OF_X0],
                          .of_eps = level[DM_LEVEL_OF_EPS],
                          .null_class = m->data.classes && m->conditions.drop_class > 0,
                          .n_conditions = list_conditions(m, &of->conditions, labels, conditions),
                          .conditions = conditions};
    const dm_shape from = api->shape(api, x);
    dm_instance *const owner = g->owner;
    dm_shape s;
    dm_val y;

    g->builds++;
    g->owner = &m->network;
    dm_call_enter(&m->network, DM_CB_BUILD, &m->network.err);
    y = m->network.plugin->network->build(&m->network.ctx, api, &in);
    dm_call_leave(DM_OK, NULL);
    g->owner = owner;
    if (!dm_graph_returned(g, &m->network, "build()", y) || !same_weights(m, g))
        return DM_FAILED;
    s = api->shape(api, y);
    if (!fits(m, &s, &from))
        return dm_graph_fail(g, DM_EINVAL, "network '%s' returns rank %d with %lld channels for %d outputs of rank %d",
                             m->network.plugin->name, (int)s.rank, (long long)s.dim[1], (int)m->out_channels,
                             (int)from.rank);
    return y;
}

/* What g->network does inside an objective. */
static dm_val run_network(void *user, const dm_graph *api, int32_t weights, dm_val x, dm_val noise, dm_val labels)
{
    dm_graph_core *g = dm_graph_of(api);
    const net_graph *n = user;

    if (weights != 0)
        return dm_graph_fail(g, DM_EINVAL, "there is no weight set %d", (int)weights);
    return dm_net_build(n->net, g, api, x, noise, labels >= 0 && labels == n->labels ? n->labels_read : labels);
}

dm_status dm_net_graph(dm_net *m, bool training, dm_graph_core **g, const dm_graph **api, dm_err *err)
{
    const dm_status rc = dm_graph_new(g, api, err);
    net_graph *user;

    if (rc)
        return rc;
    if (!(user = dm_alloc((*g)->arena, sizeof *user))) {
        dm_graph_free(*g);
        *g = NULL;
        return dm_error(err, DM_ENOMEM, "out of memory for a graph");
    }
    user->net = m;
    dm_net_level_none(&user->level);
    dm_condition_inputs_none(&user->conditions);
    user->labels = user->labels_read = DM_NONE;
    (*g)->training = training;
    (*g)->network = run_network;
    (*g)->network_user = user;
    return DM_OK;
}

void dm_net_set_level(dm_graph_core *g, const dm_net_level *l) { ((net_graph *)g->network_user)->level = *l; }

void dm_net_set_conditions(dm_graph_core *g, const dm_condition_inputs *t)
{
    ((net_graph *)g->network_user)->conditions = *t;
}

void dm_net_set_labels_read(dm_graph_core *g, dm_val labels, dm_val labels_read)
{
    net_graph *n = g->network_user;

    n->labels = labels;
    n->labels_read = labels_read;
}

dm_val dm_net_label_input(const dm_net *m, dm_graph_core *g, int64_t n)
{
    if (m->label_width)
        return dm_graph_input(g, "labels", &(dm_shape){2, {n, m->label_width}}, DM_DT_F32, false);
    return m->data.classes ? dm_graph_input(g, "labels", &(dm_shape){1, {n}}, DM_DT_I32, false) : DM_NONE;
}

/* The network in a graph of its own, with what it is given; what fails is in the graph. */
static void build_alone(dm_net *m, dm_graph_core *g, const dm_graph *api, int64_t n)
{
    const dm_shape s = dm_net_batch_shape(&m->data.shape, n, m->data.shape.dim[0]);
    const bool diffusion = dm_net_diffuses(m);
    const dm_val x = dm_graph_to_image(g, dm_graph_input(g, "x", &s, DM_DT_F32, false));
    const dm_val noise = diffusion ? dm_graph_input(g, "noise", &(dm_shape){1, {n}}, DM_DT_F32, false) : DM_NONE;
    const dm_val labels = dm_net_label_input(m, g, n);
    dm_condition_inputs inputs;
    dm_net_level level;
    dm_val y;

    if (diffusion) {
        dm_net_level_inputs(&level, g, n);
        dm_net_set_level(g, &level);
    }
    dm_condition_inputs_add(&inputs, &m->conditions, g, n);
    dm_net_set_conditions(g, &inputs);
    if ((y = dm_net_build(m, g, api, x, noise, labels)) >= 0)
        dm_graph_mark_trained(g, y);
    m->reads_labels = labels >= 0 && dm_graph_reads(g, labels);
    for (int32_t k = 0; k < m->conditions.n && !g->err.code; k++)
        if (!dm_graph_reads(g, inputs.value[k]))
            dm_graph_fail(g, DM_EINVAL, "network '%s' does not read condition '%s'", m->network.plugin->name,
                          m->conditions.is[k].name);
}

dm_status dm_net_find_weights(dm_net *m, int64_t n, dm_err *err)
{
    dm_graph_core *g;
    const dm_graph *api;
    dm_status rc;

    if ((rc = dm_net_graph(m, true, &g, &api, err)))
        return rc;
    build_alone(m, g, api, n);
    if (g->err.code)
        rc = dm_error(err, g->err.code, "%s", g->err.msg);
    else if (!g->n_weights)
        rc = dm_error(err, DM_EINVAL, "network '%s' declares no weights; there is nothing to train",
                      m->network.plugin->name);
    else if (!m->layout)
        rc = dm_layout_new(g, m->align, m->most, &m->layout, err);
    dm_graph_free(g);
    return rc;
}

static dm_status open_objective(dm_net *m, dm_err *err)
{
    const dm_objective *o = m->objective.plugin->objective;
    const int32_t T = m->noise && dm_noise_discrete(m->noise) ? dm_noise_T(m->noise) : 0;
    dm_status rc;

    m->out_channels = (int32_t)m->data.shape.dim[0];
    if (o->affine && !m->noise)
        return dm_error(err, DM_EINVAL, "objective '%s' needs a schedule; the experiment has none",
                        m->objective.plugin->name);
    if (!o->affine && dm_net_couples(m))
        return dm_error(err, DM_EINVAL, "coupling: objective '%s' adds no noise; there is nothing to assign",
                        m->objective.plugin->name);
    if (o->n_scalars < 0 || o->n_scalars > 64)
        return dm_error(err, DM_EABI, "objective '%s' has %d scalars; 0 to 64 are allowed", m->objective.plugin->name,
                        (int)o->n_scalars);
    if (o->n_scalars > 0 && !o->scalars)
        return dm_error(err, DM_EABI, "objective '%s' has %d scalars and no function 'scalars' that writes them",
                        m->objective.plugin->name, (int)o->n_scalars);
    if (o->open && (rc = DM_CALL(&m->objective, DM_CB_OPEN, err,
                                 o->open(&m->objective.ctx, &m->data, T, &m->out_channels))))
        return rc;
    if (o->affine && m->noise && (rc = dm_objective_check(&m->objective, m->noise, &m->noise_most, err)))
        return rc;
    if (m->out_channels < 1 || m->out_channels > 1 << 20)
        return dm_error(err, DM_EINVAL, "objective '%s' wants %d output channels; 1 to 1048576 are allowed",
                        m->objective.plugin->name,
                        (int)m->out_channels);
    return DM_OK;
}

/* Before any is built: does the network take what there is? */
static dm_status find_conditions(dm_net *m, dm_section_id *at, dm_err *err)
{
    static const char *const kinds[] = {"classes", "vectors", "images", "sequences"};
    const dm_experiment *e = m->experiment;
    dm_conditions *c = &m->conditions;
    char its[64] = "";
    dm_status rc = dm_conditions_find(&e->condition, &e->train.drop_condition, &m->data, c, at, err);

    for (int k = DM_CONDITION_CLASS; k <= DM_CONDITION_SEQUENCE; k++)
        if (takes(m) & DM_TAKES(k))
            snprintf(its + strlen(its), sizeof its - strlen(its), "%s%s", *its ? ", " : "", kinds[k]);
    *at = rc ? *at : DM_SEC_CONDITION;
    for (int32_t k = 0; k < c->n && !rc; k++)
        if (!(takes(m) & DM_TAKES(c->is[k].kind)))
            rc = dm_error(err, DM_EINVAL, "%s: network '%s' takes %s; the experiment's conditions are %s",
                          c->derive[k] == DM_DERIVE_NONE ? c->is[k].name : "derive", m->network.plugin->name, its,
                          dm_conditions_show(c, m->data.classes).text);
    return rc;
}

dm_status dm_net_make(const dm_experiment *e, const dm_noise *noise, dm_device *d, const dm_data_info *data,
                      int64_t label_width, dm_net **out, dm_section_id *at, dm_err *err)
{
    const dm_section *net = &e->section[DM_SEC_NETWORK], *obj = &e->section[DM_SEC_OBJECTIVE];
    dm_net *m;
    dm_status rc;

    if (!net->plugin || !obj->plugin)
        return dm_error(err, DM_EINVAL, "%s: error: section '%s' is missing", e->file,
                        net->plugin ? "objective" : "network");
    if (!(m = calloc(1, sizeof *m)))
        return dm_error(err, DM_ENOMEM, "out of memory for the model");
    m->experiment = e;
    m->noise = noise;
    m->device = d;
    m->align = d ? dm_device_get_info(d)->align : 128;
    m->most = d ? dm_device_get_info(d)->max_alloc : UINT64_MAX;
    m->data = *data;
    m->label_width = label_width;
    m->recompute = e->train.recompute;
    dm_services_init(&m->services, &e->plugin_log);
    dm_noise_serve(noise, &m->services);
    m->services.device = d;
    *at = DM_SEC_OBJECTIVE;
    if (!(rc = dm_instance_init(&m->network, net->plugin, net->cfg, &m->services, err)) &&
        !(rc = dm_instance_init(&m->objective, obj->plugin, obj->cfg, &m->services, err)) &&
        !(rc = open_objective(m, err)) && !(rc = find_conditions(m, at, err))) {
        *at = DM_SEC_NETWORK;
        rc = dm_net_find_weights(m, 1, err);
    }
    if (rc)
        dm_net_free(m);
    else
        *out = m;
    return rc;
}

dm_status dm_net_new(const dm_experiment *e, const dm_noise *noise, dm_device *d, const dm_data_info *data,
                     int64_t label_width, dm_net **out, dm_err *err)
{
    dm_section_id ignored;

    return dm_net_make(e, noise, d, data, label_width, out, &ignored, err);
}

dm_status dm_net_lay_out(dm_net *m, size_t align, uint64_t most, dm_err *err)
{
    if (align == m->align && most == m->most)
        return DM_OK;
    m->align = align;
    m->most = most;
    dm_layout_free(m->layout);
    m->layout = NULL;
    return dm_net_find_weights(m, 1, err);
}

void dm_net_free(dm_net *m)
{
    if (!m)
        return;
    dm_layout_free(m->layout);
    if (m->objective.plugin)
        dm_instance_fini(&m->objective);
    if (m->network.plugin)
        dm_instance_fini(&m->network);
    free(m);
}

/* The objective's own draw, of which every point must be one of the schedule. */
static dm_status draw_by_plugin(dm_net *m, int32_t n, const double *u, dm_point *at, double *importance, dm_err *err)
{
    const int32_t T = dm_noise_T(m->noise);
    dm_status rc;

    for (int32_t i = 0; i < n; i++)
        at[i] = (dm_point){NAN, NAN, NAN, NAN};
    if ((rc = DM_CALL(&m->objective, DM_CB_DRAW, err,
                      m->objective.plugin->objective->draw(&m->objective.ctx, n, u, at, importance))))
        return rc;
    for (int32_t i = 0; i < n; i++)
        if (!(at[i].t >= 0 && at[i].t <= T && isfinite(at[i].alpha) && isfinite(at[i].sigma) && at[i].sigma > 0 &&
              importance[i] >= 0 && isfinite(importance[i])))
            return dm_error(err, DM_EINVAL,
                            "objective '%s': draw() gives t = %g, alpha %g, sigma %g, importance %g; t must lie in [0, "
                            "%d], sigma be above 0, importance 0 or above, all finite",
                            m->objective.plugin->name, at[i].t, at[i].alpha, at[i].sigma, importance[i], (int)T);
    return DM_OK;
}

dm_status dm_net_draw(dm_net *m, int32_t n, const double *u, dm_point *at, double *importance, dm_err *err)
{
    const dm_objective *o = m->objective.plugin->objective;
    const int32_t T = dm_noise_T(m->noise);

    for (int32_t i = 0; i < n; i++)
        importance[i] = 1;
    if (o->draw)
        return draw_by_plugin(m, n, u, at, importance, err);
    for (int32_t i = 0; i < n; i++)
        dm_noise_at(m->noise, dm_noise_discrete(m->noise) ? fmin(1 + floor(u[i] * T), T) : u[i] * T, &at[i]);
    return DM_OK;
}

int32_t dm_net_draw_parts(const dm_net *m)
{
    const int32_t T = dm_noise_T(m->noise);

    if (m->objective.plugin->objective->draw || !dm_noise_discrete(m->noise))
        return 128;
    return T < DM_IMPORTANCE_MAX_PARTS ? T : DM_IMPORTANCE_MAX_PARTS;
}

void dm_net_use(dm_net *m, dm_choices *choices) { m->choices = choices; }
dm_choices *dm_net_choices(const dm_net *m) { return m->choices; }
void dm_net_expect(dm_net *m, double runs) { m->runs = runs; }
double dm_net_expected(const dm_net *m) { return m->runs; }
void dm_net_recompute(dm_net *m, bool on) { m->recompute = on; }
bool dm_net_recomputes(const dm_net *m) { return m->recompute; }
