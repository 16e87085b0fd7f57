/* Features of images; see extractor.h. The network is described as for a forward pass, and the plan ends at what the
 * layer reads. */
#include "quality/extractor.h"

#include "text/suggest.h"
#include "graph/op_def.h"
#include "model/objective.h"

#include <math.h>
#include <sha256.h>
#include <stdlib.h>
#include <string.h>

struct dm_extractor {
    int64_t n, example, features;
    double scale;                  /* c_in where the network diffuses */
    char layer[160];
    dm_graph_core *graph;
    dm_plan *plan;
    dm_val x, noise, labels, out;
    dm_val logits;                 /* f32[n,classes], DM_NONE where nothing is classified */
    int32_t classes;
    dm_net_level level;
    float *host;                   /* n images, padded */
    float *row;                    /* n times the logits; NULL without */
};

int64_t dm_extractor_features(const dm_extractor *x) { return x->features; }
const char *dm_extractor_layer(const dm_extractor *x) { return x->layer; }
bool dm_extractor_classifies(const dm_extractor *x) { return x->row != NULL; }

/* The weight of a layer, such as a convolution; NULL for any other node. */
static const dm_weight *weight_of(const dm_graph_core *g, const dm_gnode *n)
{
    const dm_op_def *def = dm_op_def_of(n->op.kind);

    for (int i = 0; i < n->op.n_in; i++) {
        const dm_val v = def->in[i].flags & DM_ARG_LAYER ? dm_graph_root(g, n->in[i]) : DM_NONE;

        if (v >= 0 && g->values[v].source == DM_VAL_WEIGHT)
            return &g->weights[g->values[v].weight];
    }
    return NULL;
}

/* "levels.0.conv" of "levels.0.conv.weight". */
static void name_of(const dm_weight *w, char *to, size_t size)
{
    const size_t n = strlen(w->key), end = strlen(".weight");

    snprintf(to, size, "%.*s", (int)(n > end && !strcmp(w->key + n - end, ".weight") ? n - end : n), w->key);
}

/* The last layer with a weight before the output, following the first input of what is between. */
static const dm_gnode *last_layer(const dm_graph_core *g, dm_val out)
{
    const dm_gnode *n = NULL;

    for (dm_val v = dm_graph_root(g, out); v >= 0 && g->values[v].node >= 0;
         v = n->in[0] >= 0 ? dm_graph_root(g, n->in[0]) : DM_NONE) {
        n = &g->nodes[g->values[v].node];
        if (weight_of(g, n))
            return n;
    }
    return NULL;
}

static dm_status no_layer(const char *layer, const char *near, const dm_gnode *last, const dm_graph_core *g,
                          dm_err *err)
{
    char name[160] = "";

    if (last)
        name_of(weight_of(g, last), name, sizeof name);
    if (!*layer)
        return dm_error(err, DM_EINVAL, "the network has no last layer with weights; name one");
    if (near)
        return dm_error(err, DM_EINVAL, "the network has no layer '%s'; did you mean '%.*s'?", layer,
                        (int)(strlen(near) - strlen(".weight")), near);
    return dm_error(err, DM_EINVAL, "the network has no layer '%s'; its last one is '%s'", layer, name);
}

static const dm_gnode *find_layer(dm_extractor *x, const char *layer, dm_val out, dm_err *err)
{
    const dm_graph_core *g = x->graph;
    const dm_gnode *const last = last_layer(g, out), *found = *layer ? NULL : last;
    char wanted[192];
    dm_nearest near;

    snprintf(wanted, sizeof wanted, "%s.weight", layer);
    dm_nearest_init(&near, wanted);
    for (size_t i = 0; i < g->n_nodes && !found && *layer; i++) {
        const dm_weight *w = weight_of(g, &g->nodes[i]);

        if (w && !strcmp(w->key, wanted))
            found = &g->nodes[i];
        else if (w)
            dm_nearest_try(&near, w->key);
    }
    if (found)
        name_of(weight_of(g, found), x->layer, sizeof x->layer);
    else
        no_layer(layer, near.best, last, g, err);
    return found;
}

/* What the layer reads, as f32[n,features]: rows as they are, images and tokens as the mean over their places. */
static dm_val pooled(dm_graph_core *g, dm_val v)
{
    const dm_value *from = &g->values[v];
    const dm_shape s = from->shape;
    const int64_t width = from->image ? s.dim[1] : s.dim[s.rank - 1];
    int64_t places = 1;
    dm_gnode *n;
    dm_val out;

    for (int32_t i = 1; i < s.rank; i++)
        places *= s.dim[i];
    places /= width;
    if (places == 1)
        return s.rank == 2 ? v : dm_graph_alias(g, v, &(dm_shape){2, {s.dim[0], width}}, false);
    if (!(n = dm_graph_op1(g, DM_OP_REDUCE, &v, 1, &(dm_shape){2, {s.dim[0], width}}, false, &out)))
        return DM_FAILED;
    n->op.a.reduce.outer = s.dim[0];
    n->op.a.reduce.red = places;
    n->op.a.reduce.inner = width;
    n->op.a.reduce.k = 1 / (double)places;
    return out;
}

/* One output for each class of the data. */
static bool is_classifier(const dm_extractor *x, const dm_session *s, dm_val out)
{
    const dm_shape *shape = &x->graph->values[out].shape;

    return !dm_net_diffuses(s->model) && s->data.classes > 1 && shape->rank == 2 && shape->dim[0] == x->n &&
           shape->dim[1] == s->data.classes;
}

static dm_status describe(dm_extractor *x, dm_session *s, const dm_graph *api, const char *layer, bool classifies,
                          dm_err *err)
{
    const dm_shape shape = dm_net_batch_shape(&s->data.shape, x->n, s->data.shape.dim[0]), row = {1, {x->n}};
    dm_graph_core *g = x->graph;
    const dm_gnode *at = NULL;
    dm_val out, results[2];
    int n = 1;

    x->x = dm_graph_input(g, "x", &shape, DM_DT_F32, false);
    x->noise = dm_net_diffuses(s->model) ? dm_graph_input(g, "c_noise", &row, DM_DT_F32, false) : DM_NONE;
    if (x->noise != DM_NONE) {
        dm_net_level_inputs(&x->level, g, x->n);
        dm_net_set_level(g, &x->level);
    }
    x->labels = s->data.classes ? dm_graph_input(g, "labels", &row, DM_DT_I32, false) : DM_NONE;
    out = dm_net_build(s->model, g, api, dm_graph_to_image(g, x->x), x->noise, x->labels);
    if (out >= 0 && !(at = find_layer(x, layer ? layer : "", out, err)))
        return err->code;
    if (at)
        x->out = pooled(g, at->in[0]);
    if (g->err.code)
        return dm_error(err, g->err.code, "%s", g->err.msg);
    if (g->values[x->out].shape.dim[0] != x->n)
        return dm_error(err, DM_EINVAL, "layer '%s' reads %lld rows for %lld images; name another", x->layer,
                        (long long)g->values[x->out].shape.dim[0], (long long)x->n);
    x->features = g->values[x->out].shape.dim[1];
    results[0] = x->out;
    if (classifies && is_classifier(x, s, out)) {
        results[n++] = x->logits = out;
        x->classes = s->data.classes;
    }
    dm_graph_fuse(g, results, n);
    dm_graph_prune(g, results, n);
    return DM_OK;
}

static dm_status fill_level(dm_extractor *x, const dm_point *p, const dm_affine *a, dm_err *err)
{
    double v[DM_LEVELS];
    dm_status rc = DM_OK;
    dm_buf *to;

    dm_net_level_values(p, a, v);
    for (int k = 0; k < DM_LEVELS && !rc; k++) {
        for (int64_t i = 0; i < x->n; i++)
            x->host[i] = (float)v[k];
        if (x->level.row[k] >= 0 && (to = dm_plan_buffer(x->plan, x->level.row[k])))
            rc = dm_buf_write(to, 0, (size_t)x->n * sizeof *x->host, x->host, err);
    }
    return rc;
}

/* Noise and labels are the same in every run. */
static dm_status fill(dm_extractor *x, const dm_session *s, dm_err *err)
{
    const size_t n = (size_t)x->n;
    dm_instance *objective = dm_net_objective(s->model);
    int32_t *zeros = calloc(n, sizeof *zeros);
    dm_status rc = zeros ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)x->n);
    dm_buf *to;

    if (!rc && x->labels >= 0 && (to = dm_plan_buffer(x->plan, x->labels)))
        rc = dm_buf_write(to, 0, n * sizeof *zeros, zeros, err);
    if (!rc && x->noise >= 0 && (to = dm_plan_buffer(x->plan, x->noise))) {
        dm_point p;
        dm_affine a;

        dm_noise_at(s->noise, dm_noise_discrete(s->noise) ? 1 : 0, &p);
        rc = dm_objective_affine(objective, &p, &a, err);
        for (size_t i = 0; i < n && !rc; i++)
            x->host[i] = (float)a.c_noise;
        if (!rc)
            x->scale = a.c_in;
        if (!rc && !(rc = dm_buf_write(to, 0, n * sizeof *x->host, x->host, err)))
            rc = fill_level(x, &p, &a, err);
    }
    free(zeros);
    return rc;
}

dm_status dm_extractor_new(dm_session *s, dm_wset *weights, const char *layer, int64_t n, bool classifies,
                           dm_extractor **out, dm_err *err)
{
    dm_extractor *x = calloc(1, sizeof *x);
    const dm_plan_options o = {.name = "features", .choices = dm_net_choices(s->model)};
    const dm_graph *api;
    dm_status rc;

    if (!x)
        return dm_error(err, DM_ENOMEM, "out of memory for features");
    if (dm_net_conditions(s->model)->n) {
        free(x);
        return dm_error(err, DM_EINVAL, "the network for features needs the condition '%s' of each image; take another",
                        dm_net_conditions(s->model)->is[0].name);
    }
    x->n = n;
    x->scale = 1;
    x->logits = DM_NONE;
    dm_net_level_none(&x->level);
    x->example = dm_shape_count(&s->data.shape);
    if (!(x->host = dm_array(n, x->example, sizeof *x->host)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)n);
    else if (!(rc = dm_net_graph(s->model, false, &x->graph, &api, err)) &&
             !(rc = describe(x, s, api, layer, classifies, err))) {
        dm_val keep[5 + DM_LEVELS] = {x->out, x->x, x->noise, x->labels, x->logits};

        memcpy(keep + 5, x->level.row, sizeof x->level.row);
        if (x->classes && !(x->row = dm_array(n, x->classes, sizeof *x->row)))
            rc = dm_error(err, DM_ENOMEM, "out of memory for the classes of %lld images", (long long)n);
        else if (!(rc = dm_plan_new(s->device, x->graph, weights, keep, 5 + DM_LEVELS, &o, &x->plan, err)))
            rc = fill(x, s, err);
    }
    if (rc)
        dm_extractor_free(x);
    else
        *out = x;
    return rc;
}

void dm_extractor_free(dm_extractor *x)
{
    if (!x)
        return;
    dm_plan_free(x->plan);
    dm_graph_free(x->graph);
    free(x->host);
    free(x->row);
    free(x);
}

/* The class of the greatest output. */
static dm_status classify(dm_extractor *x, int64_t count, int32_t *found, dm_err *err)
{
    const dm_status rc = dm_buf_read(dm_plan_buffer(x->plan, x->logits), 0,
                                     (size_t)(count * x->classes) * sizeof *x->row, x->row, err);

    for (int64_t i = 0; i < count && !rc; i++) {
        const float *row = x->row + i * x->classes;

        found[i] = 0;
        for (int32_t k = 0; k < x->classes; k++) {
            if (!isfinite(row[k]))
                return dm_error(err, DM_EDIVERGED, "the classifier's output %d is not finite", (int)k);
            found[i] = row[k] > row[found[i]] ? k : found[i];
        }
    }
    return rc;
}

dm_status dm_extractor_run(dm_extractor *x, const float *images, int64_t count, float *features, int32_t *found,
                           dm_err *err)
{
    const size_t one = (size_t)x->example * sizeof *images;
    dm_status rc;

    memset(x->host, 0, (size_t)x->n * one);
    for (int64_t i = 0; i < count * x->example; i++)
        x->host[i] = (float)(x->scale * images[i]);
    if ((rc = dm_buf_write(dm_plan_buffer(x->plan, x->x), 0, (size_t)x->n * one, x->host, err)) ||
        (rc = dm_plan_run(x->plan, err)))
        return rc;
    if ((rc = dm_buf_read(dm_plan_buffer(x->plan, x->out), 0, (size_t)(count * x->features) * sizeof *features,
                          features, err)))
        return rc;
    return found ? classify(x, count, found, err) : DM_OK;
}

/* ---- the weights' hash --------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const dm_weight *const *x = a, *const *y = b;

    return strcmp((*x)->key, (*y)->key);
}

dm_status dm_wset_hash(const dm_wset *w, char hash[DM_HASH_TEXT], dm_err *err)
{
    const dm_layout *l = dm_wset_layout(w);
    float *flat = malloc((l->total + 1) * sizeof *flat);
    const dm_weight **order = malloc(((size_t)l->n + 1) * sizeof *order);
    SHA2_CTX ctx;
    dm_status rc = flat && order ? dm_buf_read(dm_wset_flat(w), 0, l->total * sizeof *flat, flat, err)
                                 : dm_error(err, DM_ENOMEM, "out of memory for %lld weights", (long long)l->parameters);

    if (!rc) {
        for (int32_t i = 0; i < l->n; i++)
            order[i] = &l->weights[i];
        qsort(order, (size_t)l->n, sizeof *order, by_key);
        SHA256Init(&ctx);
        for (int32_t i = 0; i < l->n; i++) {
            const int32_t k = (int32_t)(order[i] - l->weights);

            SHA256Update(&ctx, (const uint8_t *)order[i]->key, strlen(order[i]->key) + 1);
            SHA256Update(&ctx, (const uint8_t *)(flat + l->offset[k]), (size_t)dm_layout_count(l, k) * sizeof *flat);
        }
        SHA256End(&ctx, hash);
    }
    free(flat);
    free(order);
    return rc;
}
