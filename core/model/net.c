/* The network and objective of an experiment; see net.h. */
#include "model/net_make.h"

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
    dm_services services;
    dm_instance network, objective;
    dm_layout *layout;
};

/* What g->network belongs to. */
typedef struct net_graph { dm_net *net; dm_net_level level; } net_graph;

const dm_layout *dm_net_layout(const dm_net *m) { return m->layout; }
dm_instance *dm_net_objective(dm_net *m) { return &m->objective; }
bool dm_net_diffuses(const dm_net *m) { return m->objective.plugin->objective->affine != NULL; }
bool dm_net_learns_variance(const dm_net *m)
{
    return dm_objective_learns(m->objective.plugin->objective, &m->data, m->out_channels);
}
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

dm_val dm_net_build(dm_net *m, dm_graph_core *g, const dm_graph *api, dm_val x, dm_val noise, dm_val labels)
{
    const dm_val *level = ((const net_graph *)g->network_user)->level.row;
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
                          .of_eps = level[DM_LEVEL_OF_EPS]};
    const dm_shape from = api->shape(api, x);
    dm_instance *const owner = g->owner;
    dm_val y;

    g->builds++;
    g->owner = &m->network;
    dm_call_enter(&m->network, DM_CB_BUILD, &m->network.err);
    y = m->network.plugin->network->build(&m->network.ctx, api, &in);
    dm_call_leave(DM_OK, NULL);
    g->owner = owner;
    if (!dm_graph_returned(g, &m->network, "build()", y) || !same_weights(m, g))
        return DM_FAILED;
    {
        const dm_shape s = api->shape(api, y);
        /* Without diffusion the output need not have the data's pixels. */
        bool fits = s.rank == from.rank || (s.rank == 2 && !dm_net_diffuses(m));

        fits = fits && s.dim[0] == from.dim[0] && s.dim[1] == m->out_channels;
        for (int32_t i = 2; fits && i < s.rank; i++)
            fits = s.dim[i] == from.dim[i];
        if (!fits)
            return dm_graph_fail(
                g, DM_EINVAL, "network '%s' returns rank %d with %lld channels for %d outputs of rank %d",
                m->network.plugin->name, (int)s.rank, (long long)s.dim[1], (int)m->out_channels, (int)from.rank);
    }
    return y;
}

/* What g->network does inside an objective. */
static dm_val run_network(void *user, const dm_graph *api, int32_t weights, dm_val x, dm_val noise, dm_val labels)
{
    dm_graph_core *g = dm_graph_of(api);

    if (weights != 0)
        return dm_graph_fail(g, DM_EINVAL, "there is not a weight set %d", (int)weights);
    return dm_net_build(((const net_graph *)user)->net, g, api, x, noise, labels);
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
    (*g)->training = training;
    (*g)->network = run_network;
    (*g)->network_user = user;
    return DM_OK;
}

void dm_net_set_level(dm_graph_core *g, const dm_net_level *l) { ((net_graph *)g->network_user)->level = *l; }

static dm_val label_input(const dm_net *m, dm_graph_core *g, int64_t n)
{
    if (m->label_width)
        return dm_graph_input(g, "labels", &(dm_shape){2, {n, m->label_width}}, DM_DT_F32, false);
    return m->data.classes ? dm_graph_input(g, "labels", &(dm_shape){1, {n}}, DM_DT_I32, false) : DM_NONE;
}

dm_status dm_net_find_weights(dm_net *m, int64_t n, dm_err *err)
{
    const dm_shape s = dm_net_batch_shape(&m->data.shape, n, m->data.shape.dim[0]);
    const bool diffusion = dm_net_diffuses(m);
    dm_graph_core *g;
    const dm_graph *api;
    dm_status rc;

    if ((rc = dm_net_graph(m, true, &g, &api, err)))
        return rc;
    {
        const dm_val x = dm_graph_to_image(g, dm_graph_input(g, "x", &s, DM_DT_F32, false));
        const dm_val noise = diffusion ? dm_graph_input(g, "noise", &(dm_shape){1, {n}}, DM_DT_F32, false) : DM_NONE;
        const dm_val labels = label_input(m, g, n);
        dm_net_level level;

        if (diffusion) {
            dm_net_level_inputs(&level, g, n);
            dm_net_set_level(g, &level);
        }
        const dm_val y = dm_net_build(m, g, api, x, noise, labels);

        if (y >= 0)
            dm_graph_mark_trained(g, y);
        if (g->err.code)
            rc = dm_error(err, g->err.code, "%s", g->err.msg);
        else if (!g->n_weights)
            rc = dm_error(err, DM_EINVAL, "network '%s' declares no weights; there is nothing to train",
                          m->network.plugin->name);
        else if (!m->layout)
            rc = dm_layout_new(g, m->device ? dm_device_get_info(m->device)->align : 128, &m->layout, err);
    }
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
        return dm_error(err, DM_EINVAL, "objective '%s' asks for %d output channels", m->objective.plugin->name,
                        (int)m->out_channels);
    return DM_OK;
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
    m->data = *data;
    m->label_width = label_width;
    m->recompute = e->train.recompute;
    dm_services_init(&m->services, &e->plugin_log);
    dm_noise_serve(noise, &m->services);
    m->services.device = d;
    *at = DM_SEC_OBJECTIVE;
    if (!(rc = dm_instance_init(&m->network, net->plugin, net->cfg, &m->services, err)) &&
        !(rc = dm_instance_init(&m->objective, obj->plugin, obj->cfg, &m->services, err)) &&
        !(rc = open_objective(m, err))) {
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

/* ---- the network alone --------------------------------------------------------------- */

struct dm_forward {
    int64_t n;
    dm_graph_core *graph;
    dm_plan *plan;
    dm_val x, c_in, c_noise, labels, out;
    dm_net_level level;
    dm_shape shape;
    float *host; /* c_in, c_noise and the noise level as last written */
    bool written[2 + DM_LEVELS], reads_level, has_level;
};

static void describe_forward(dm_forward *f, dm_net *m, const dm_graph *api, const dm_shape *example)
{
    const dm_shape s = dm_net_batch_shape(example, f->n, example->dim[0]), row = {1, {f->n}};
    const bool diffusion = dm_net_diffuses(m);
    dm_graph_core *g = f->graph;
    dm_val x;

    f->x = dm_graph_input(g, "x", &s, DM_DT_F32, false);
    f->c_in = f->c_noise = DM_NONE;
    x = dm_graph_to_image(g, f->x);
    if (diffusion) {
        f->c_in = dm_graph_input(g, "c_in", &row, DM_DT_F32, false);
        f->c_noise = dm_graph_input(g, "c_noise", &row, DM_DT_F32, false);
        x = api->mul(api, x, f->c_in);
        dm_net_level_inputs(&f->level, g, f->n);
        dm_net_set_level(g, &f->level);
    }
    f->labels = label_input(m, g, f->n);
    f->out = dm_graph_to_rows(g, dm_net_build(m, g, api, x, f->c_noise, f->labels));
    if (f->out >= 0) {
        f->shape = api->shape(api, f->out);
        dm_graph_fuse(g, &f->out, 1);
        dm_graph_prune(g, &f->out, 1);
        f->reads_level = dm_net_level_read(&f->level, g);
        dm_net_precision(m, g, &f->out, 1);
        dm_net_insert_casts(m, g);
    }
}

dm_status dm_forward_new(dm_net *m, dm_wset *weights, int64_t n, const dm_shape *example, dm_forward **out, dm_err *err)
{
    dm_forward *f = calloc(1, sizeof *f);
    const dm_plan_options o = {.name = "forward", .choices = m->choices, .runs = m->runs};
    const dm_graph *api;
    dm_status rc;

    if (!f || !(f->host = calloc((2 + DM_LEVELS) * (size_t)n, sizeof *f->host))) {
        free(f);
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)n);
    }
    f->n = n;
    dm_net_level_none(&f->level);
    if (!(rc = dm_net_graph(m, false, &f->graph, &api, err))) {
        dm_val keep[5 + DM_LEVELS];

        describe_forward(f, m, api, example ? example : &m->data.shape);
        keep[0] = f->out, keep[1] = f->x, keep[2] = f->c_in, keep[3] = f->c_noise, keep[4] = f->labels;
        for (int i = 0; i < DM_LEVELS; i++)
            keep[5 + i] = f->reads_level ? f->level.row[i] : DM_NONE;
        rc = f->graph->err.code ? dm_error(err, f->graph->err.code, "%s", f->graph->err.msg)
                                : dm_plan_new(m->device, f->graph, weights, keep, 5 + DM_LEVELS, &o, &f->plan, err);
    }
    if (rc) {
        dm_forward_free(f);
        return rc;
    }
    *out = f;
    return DM_OK;
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
const dm_plan *dm_forward_plan(const dm_forward *f) { return f->plan; }

void dm_net_use(dm_net *m, dm_choices *choices) { m->choices = choices; }
dm_choices *dm_net_choices(const dm_net *m) { return m->choices; }
void dm_net_expect(dm_net *m, double runs) { m->runs = runs; }
double dm_net_expected(const dm_net *m) { return m->runs; }
void dm_net_recompute(dm_net *m, bool on) { m->recompute = on; }
bool dm_net_recomputes(const dm_net *m) { return m->recompute; }

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

dm_status dm_forward_run(dm_forward *f, const double *c_in, const double *c_noise, const int32_t *labels, dm_err *err)
{
    dm_status rc;

    if (f->reads_level && !f->has_level)
        return dm_error(err, DM_EINVAL, "the network reads alpha and sigma of a noise level, which are not known here");
    if ((rc = write_row(f, 0, f->c_in, c_in, err)) || (rc = write_row(f, 1, f->c_noise, c_noise, err)))
        return rc;
    if (f->labels >= 0 && labels &&
        (rc = dm_buf_write(dm_plan_buffer(f->plan, f->labels), 0, (size_t)f->n * sizeof *labels, labels, err)))
        return rc;
    return dm_plan_run(f->plan, err);
}
