/* What networks have in common that are told more than the class: how vectors, images and sequences are read. */
#ifndef DEMIST_PLUGINS_NETWORKS_CONDITIONS_H
#define DEMIST_PLUGINS_NETWORKS_CONDITIONS_H

#include <math.h>
#include <demist/plugin.h>

/* The only sequence, or NULL. */
static inline const dm_condition_in *sequence_of(const dm_net_in *in)
{
    for (int32_t k = 0; k < in->n_conditions; k++)
        if (in->conditions[k].is.kind == DM_CONDITION_SEQUENCE)
            return &in->conditions[k];
    return NULL;
}

static inline dm_status check_sequences(dm_ctx *c, const dm_net_in *in)
{
    int n = 0;

    for (int32_t k = 0; k < in->n_conditions; k++)
        n += in->conditions[k].is.kind == DM_CONDITION_SEQUENCE;
    return n > 1 ? dm_fail_also(c, DM_EINVAL, "takes one sequence; the data have %d", n) : DM_OK;
}

/* To an embedding [N,wide] is added what vectors say, by two layers each, and, of each condition that may be null, what
 * is learned for that. */
static inline dm_val add_conditions(const dm_graph *g, const dm_net_in *in, dm_val embedding)
{
    const int64_t N = g->shape(g, embedding).dim[0], wide = g->shape(g, embedding).dim[1];

    for (int32_t k = 0; k < in->n_conditions; k++) {
        const dm_condition_in *c = &in->conditions[k];
        const dm_graph *s = g->scope(g, "condition_embedding.%s", c->is.name);

        if (c->is.kind == DM_CONDITION_VECTOR) {
            const dm_val h = s->silu(s, s->linear(s, "linear_1", c->value, wide, 0));

            embedding = g->add(g, embedding, s->linear(s, "linear_2", h, wide, 0));
        }
        if (c->given != DM_NONE)
            embedding = g->add(g, embedding, s->linear(s, "given", s->reshape(s, c->given, &(dm_shape){2, {N, 1}}),
                                                       wide, 0));
    }
    return embedding;
}

/* Images beside x, in its size. */
static inline dm_val add_images(const dm_graph *g, const dm_net_in *in, dm_val x)
{
    const int64_t H = g->shape(g, x).dim[2], W = g->shape(g, x).dim[3];

    for (int32_t k = 0; k < in->n_conditions; k++)
        if (in->conditions[k].is.kind == DM_CONDITION_IMAGE) {
            const dm_shape s = g->shape(g, in->conditions[k].value);
            const bool same = s.dim[2] == H && s.dim[3] == W;

            x = g->concat(g, x, same ? in->conditions[k].value : g->resize(g, in->conditions[k].value, H, W), 1);
        }
    return x;
}

/* [N,L,D] to [N heads,L,D / heads]. */
static inline dm_val part_heads(const dm_graph *g, dm_val x, int64_t heads)
{
    const dm_shape s = g->shape(g, x);
    const int64_t N = s.dim[0], L = s.dim[1], d = s.dim[2] / heads;

    x = g->permute(g, g->reshape(g, x, &(dm_shape){4, {N, L, heads, d}}), (int32_t[]){0, 2, 1, 3});
    return g->reshape(g, x, &(dm_shape){3, {N * heads, L, d}});
}

/* What attention of x [N,L,D] to the rows of a sequence that are there adds to it; rows that are not have a weight of
 * e^-10000. Of a sequence of no rows, all of which are zeros, it is to_out's bias. */
static inline dm_val cross_attention(const dm_graph *g, dm_val x, const dm_condition_in *c, int64_t heads)
{
    const dm_shape s = g->shape(g, x);
    const int64_t N = s.dim[0], L = s.dim[1], D = s.dim[2], M = c->is.shape.dim[0], d = D / heads;
    const dm_val q = part_heads(g, g->linear(g, "to_q", x, D, DM_NO_BIAS), heads);
    const dm_val k = part_heads(g, g->linear(g, "to_k", c->value, D, DM_NO_BIAS), heads);
    const dm_val v = part_heads(g, g->linear(g, "to_v", c->value, D, DM_NO_BIAS), heads);
    const dm_val gone = g->reshape(g, g->scale(g, c->rows, 1e4, -1e4), &(dm_shape){3, {N, 1, M}});
    dm_val a = g->scale(g, g->matmul(g, q, k, false, true), 1 / sqrt((double)d), 0);

    a = g->reshape(g, a, &(dm_shape){3, {N, heads * L, M}});
    a = g->reshape(g, g->softmax(g, g->add(g, a, gone), 2), &(dm_shape){3, {N * heads, L, M}});
    a = g->reshape(g, g->matmul(g, a, v, false, false), &(dm_shape){4, {N, heads, L, d}});
    a = g->reshape(g, g->permute(g, a, (int32_t[]){0, 2, 1, 3}), &s);
    return g->linear(g, "to_out.0", a, D, DM_ZERO_INIT);
}

#endif
