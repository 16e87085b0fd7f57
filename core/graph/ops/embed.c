/* Vectors for numbers and classes, and elements by number. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"
#include "graph/layer.h"

#include <math.h>

static dm_val time_embed(const dm_graph *api, dm_val t, int64_t dim, double freq_shift, bool flip)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, t);
    const int64_t half = dim / 2;
    dm_val in[2] = {t, DM_NONE}, y;
    float *freq;
    dm_gnode *n;

    if (!dm_graph_has(g, "time_embed", DM_DT_F32, &t, 1))
        return DM_FAILED;
    if (s.rank != 1 || dim < 2 || dim > 1 << 20 || !((double)half - freq_shift > 0))
        return dm_graph_fail(g, DM_EINVAL,
                             "time embedding needs t f32[N] and at least 2 columns, more than freq_shift pairs");
    if (!(freq = dm_alloc_n(g->arena, (size_t)half, sizeof *freq)))
        return dm_graph_fail(g, DM_ENOMEM, "out of memory for %lld time frequencies", (long long)half);
    for (int64_t i = 0; i < half; i++)
        freq[i] = (float)exp(-log(10000.0) * (double)i / ((double)half - freq_shift));
    in[1] = api->constant(api, freq, &(dm_shape){1, {half}});
    if ((n = dm_graph_op1(g, DM_OP_TIME_EMBED, in, 2, &(dm_shape){2, {s.dim[0], dim}}, false, &y)))
        n->op.a.embed.flip = flip;
    return y;
}

static dm_val embedding(const dm_graph *g, const char *name, dm_val i, int64_t rows, int64_t dim)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, i);
    dm_val in[2] = {i, DM_NONE}, y;

    if (!dm_layer_takes(c, "embedding", name, true, DM_DT_I32, i))
        return DM_FAILED;
    if (s.rank != 1 || rows < 1 || dim < 1)
        return dm_graph_fail(c, DM_EINVAL, "embedding '%s' needs i32[N] and at least one row and column", name);
    in[1] = dm_layer_part(g, name, ".weight", &(dm_shape){2, {rows, dim}}, 0, dim);
    dm_graph_op1(c, DM_OP_EMBEDDING, in, 2, &(dm_shape){2, {s.dim[0], dim}}, false, &y);
    return y;
}

static dm_val gather(const dm_graph *api, dm_val x, int32_t axis, dm_val i)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape from = api->shape(api, x), n_i = api->shape(api, i);
    const bool image = from.rank == 4;
    dm_shape s = from;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "gather", DM_DT_F32, &x, 1) || !dm_graph_has(g, "gather: indices", DM_DT_I32, &i, 1))
        return DM_FAILED;
    if (axis < 0 || axis >= from.rank || n_i.rank != 1)
        return dm_graph_fail(g, DM_EINVAL,
                             "gather along axis %d of a value of %d axes, by indices of rank %d, is not possible",
                             (int)axis,
                             (int)from.rank, (int)n_i.rank);
    s.dim[axis] = n_i.dim[0];
    if ((n = dm_graph_op1(g, DM_OP_GATHER, (dm_val[]){x, i}, 2, &s, image, &y))) {
        const int at = dm_stored_axis(image, axis);

        n->op.a.gather.outer = dm_product(n->op.in[0].dim, 0, at);
        n->op.a.gather.rows = from.dim[axis];
        n->op.a.gather.count = n_i.dim[0];
        n->op.a.gather.inner = dm_product(n->op.in[0].dim, at + 1, from.rank);
    }
    return y;
}

static void gather_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_GATHER_DX, n, (dm_val[]){dy, n->in[1]}, 2, n->in[0]);
}

static void embedding_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val w = n->in[1], dw = dm_tape_output_for(t, w);
    dm_gnode *made;

    if (dw >= 0 && (made = dm_graph_node(t->g, DM_OP_EMBEDDING_DW, (dm_val[]){n->in[0], dy}, 2, &dw, 1)))
        made->op.accum = dm_tape_is_weight(t, w);
    dm_tape_give_output(t, w, dw);
}

static const dm_op_attr embed_attrs[] = {DM_ATTR(DM_ATTR_BOOL, "flip", embed.flip), {0}};

static const dm_op_attr gather_attrs[] = {DM_ATTR(DM_ATTR_LONG, "outer", gather.outer),
                                          DM_ATTR(DM_ATTR_LONG, "rows", gather.rows),
                                          DM_ATTR(DM_ATTR_LONG, "count", gather.count),
                                          DM_ATTR(DM_ATTR_LONG, "inner", gather.inner),
                                          {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_TIME_EMBED,
     .name = "time_embed",
     .in = {{"t", 0}, {"freq", 0}},
     .out = {{"y", 0}},
     .attrs = embed_attrs,
     .each = 4,
     .flags = DM_OP_CONSTANT},
    {.kind = DM_OP_EMBEDDING,
     .name = "embedding",
     .in = {{"i", 0}, {"w", 0}},
     .out = {{"y", 0}},
     .gradient = embedding_gradient},
    {.kind = DM_OP_EMBEDDING_DW,
     .name = "embedding_dw",
     .in = {{"i", 0}, {"dy", 0}},
     .out = {{"dw", DM_ARG_ACCUM}},
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_GATHER,
     .name = "gather",
     .in = {{"x", DM_ARG_16BIT}, {"i", 0}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = gather_attrs,
     .flags = DM_OP_CHEAP,
     .gradient = gather_gradient},
    {.kind = DM_OP_GATHER_DX,
     .name = "gather_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"i", 0}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = gather_attrs,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->time_embed = time_embed;
    api->embedding = embedding;
    api->gather = gather;
}

const dm_op_family dm_family_embed = {rows, fill};
