/* How values lie in memory: images and rows, permutations, reshapes, broadcasting, and sums that
 * undo a broadcast. */
#include "graph/graph_shape.h"

#include <string.h>

int dm_stored_axis(bool image, int l) { return image ? (const int[]){0, 3, 1, 2}[l] : l; }
int dm_logical_axis(bool image, int s) { return image ? (const int[]){0, 2, 3, 1}[s] : s; }

int64_t dm_product(const int64_t *d, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= d[i];
    return n;
}

bool dm_same_shape(const dm_shape *a, const dm_shape *b)
{
    return a->rank == b->rank && !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]);
}

/* ---- storage ---------------------------------------------------------------------- */

/* Axes of extent 1 may stand anywhere: nothing moves where the others keep their order. */
static bool moves(const dm_desc *d, const int32_t *axes)
{
    int32_t last = -1;

    for (int32_t i = 0; i < d->rank; i++)
        if (d->dim[axes[i]] > 1) {
            if (axes[i] < last)
                return true;
            last = axes[i];
        }
    return false;
}

dm_val dm_graph_stored_permute(dm_graph_core *g, dm_val x, const dm_shape *s, bool image, const int32_t *axes,
                               int32_t rank)
{
    const dm_desc d = x < 0 ? (dm_desc){0} : dm_graph_desc(g, x);
    dm_gnode *n;
    dm_val y;

    if (x < 0)
        return DM_FAILED;
    if (!moves(&d, axes))
        return dm_graph_alias(g, x, s, image);
    if ((n = dm_graph_op1(g, DM_OP_PERMUTE, &x, 1, s, image, &y)))
        memcpy(n->op.a.perm.axes, axes, (size_t)rank * sizeof axes[0]);
    return y;
}

dm_val dm_graph_to_image(dm_graph_core *g, dm_val x)
{
    static const int32_t axes[] = {0, 2, 3, 1};

    if (x < 0 || g->values[x].shape.rank != 4 || g->values[x].image)
        return x;
    return dm_graph_stored_permute(g, x,
                                   &(dm_shape){4,
                                               {g->values[x].shape.dim[0], g->values[x].shape.dim[1],
                                                g->values[x].shape.dim[2], g->values[x].shape.dim[3]}},
                                   true, axes, 4);
}

dm_val dm_graph_to_rows(dm_graph_core *g, dm_val x)
{
    static const int32_t axes[] = {0, 3, 1, 2};
    dm_shape s;

    if (x < 0 || !g->values[x].image)
        return x;
    s = g->values[x].shape;
    return dm_graph_stored_permute(g, x, &s, false, axes, 4);
}

/* The node that made x's memory, if it is a live permutation with these axes; NULL otherwise. x may have other extents
 * than its result. */
static const dm_gnode *made_by_permute(const dm_graph_core *g, dm_val x, const int32_t *axes, int32_t rank)
{
    const dm_value *v = &g->values[dm_graph_root(g, x)];
    const dm_gnode *n = v->source == DM_VAL_NODE && v->node >= 0 ? &g->nodes[v->node] : NULL;

    if (!n || g->values[x].needs_grad != v->needs_grad || n->op.kind != DM_OP_PERMUTE || n->op.in[0].rank != rank ||
        memcmp(n->op.a.perm.axes, axes, (size_t)rank * sizeof axes[0]))
        return NULL;
    return n;
}

dm_val dm_graph_reshape(dm_graph_core *g, dm_val x, const dm_shape *s)
{
    static const int32_t swap[] = {0, 2, 1};
    const dm_shape from = x < 0 ? (dm_shape){0} : g->values[x].shape;
    const dm_gnode *n;

    if (x < 0)
        return DM_FAILED;
    if (s->rank < 0 || s->rank > 8)
        return dm_graph_fail(g, DM_EINVAL, "reshape to rank %d; 0 to 8 are allowed", (int)s->rank);
    if (dm_shape_count(s) != dm_shape_count(&from))
        return dm_graph_fail(g, DM_EINVAL, "reshape from %lld elements to %lld", (long long)dm_shape_count(&from),
                             (long long)dm_shape_count(s));
    if (dm_same_shape(&from, s))
        return x;
    /* [N,L,C] swapped to [N,C,L] and seen as [N,C,H,W] is the image that [N,L,C] already is. */
    if (s->rank == 4 && from.rank == 3 && s->dim[0] == from.dim[0] && s->dim[1] == from.dim[1] &&
        (n = made_by_permute(g, x, swap, 3)) && n->op.in[0].dim[0] == from.dim[0] && n->op.in[0].dim[2] == from.dim[1])
        return dm_graph_alias(g, n->in[0], s, true);
    return dm_graph_to_image(g, dm_graph_alias(g, dm_graph_to_rows(g, x), s, false));
}

dm_val dm_graph_permute(dm_graph_core *g, dm_val x, const int32_t *axes)
{
    static const int32_t to_rows[] = {0, 3, 1, 2}, swap[] = {0, 2, 1};
    const dm_shape from = x < 0 ? (dm_shape){0} : g->values[x].shape;
    const bool image = from.rank == 4;
    int32_t stored[8], seen = 0;
    dm_shape s = from;
    const dm_gnode *n;

    if (x < 0)
        return DM_FAILED;
    for (int i = 0; i < from.rank; i++) {
        if (axes[i] < 0 || axes[i] >= from.rank || seen & 1 << axes[i])
            return dm_graph_fail(g, DM_EINVAL, "axes of a permutation must be each of 0..%d once", (int)from.rank - 1);
        seen |= 1 << axes[i];
        s.dim[i] = from.dim[axes[i]];
    }
    /* An image seen as [N,C,L] and swapped to [N,L,C] is what is stored already. */
    if (from.rank == 3 && !memcmp(axes, swap, sizeof swap) && (n = made_by_permute(g, x, to_rows, 4)) &&
        n->op.in[0].dim[0] == from.dim[0] && n->op.in[0].dim[3] == from.dim[1])
        return dm_graph_alias(g, n->in[0], &s, false);
    for (int j = 0; j < from.rank; j++)
        stored[j] = dm_stored_axis(image, axes[dm_logical_axis(image, j)]);
    return dm_graph_stored_permute(g, x, &s, image, stored, from.rank);
}

/* ---- broadcasting ---------------------------------------------------------------------- */

/* Element strides of an operand along the stored axes of the result; 0 where it repeats. */
static void strides(const dm_graph_core *g, dm_val x, const dm_shape *out, bool image, int64_t *stride)
{
    const dm_value *v = &g->values[x];
    const dm_desc d = dm_graph_desc(g, x);

    for (int j = 0; j < out->rank; j++) {
        const int l = dm_logical_axis(image, j);

        stride[j] = 0;
        if (l < v->shape.rank && v->shape.dim[l] > 1)
            stride[j] = dm_product(d.dim, dm_stored_axis(v->image, l) + 1, d.rank);
    }
}

/* Merges stored axes that both operands walk alike, to at most 4. */
static bool collapse(const dm_desc *y, const int64_t *sa, const int64_t *sb, dm_attr_bcast *out)
{
    int64_t dim[8], a[8], b[8];
    int n = 0;

    for (int j = 0; j < y->rank; j++) {
        if (y->dim[j] == 1)
            continue;
        if (n && a[n - 1] == sa[j] * y->dim[j] && b[n - 1] == sb[j] * y->dim[j]) {
            dim[n - 1] *= y->dim[j];
            a[n - 1] = sa[j];
            b[n - 1] = sb[j];
        } else {
            dim[n] = y->dim[j];
            a[n] = sa[j];
            b[n++] = sb[j];
        }
    }
    if (n > 4)
        return false;
    for (int j = 0; j < 4; j++) {
        const int k = j - (4 - n);

        out->dim[j] = k < 0 ? 1 : dim[k];
        out->sa[j] = k < 0 ? 0 : a[k];
        out->sb[j] = k < 0 ? 0 : b[k];
    }
    return true;
}

dm_val dm_graph_elementwise(dm_graph_core *g, dm_op_kind kind, dm_val a, dm_val b, const dm_shape *s)
{
    const bool image = s->rank == 4;
    const dm_val in[2] = {a, b};
    const bool one = b == DM_NONE;
    int64_t sa[8], sb[8];
    dm_gnode *n;
    dm_val y;

    if (!(n = dm_graph_op1(g, kind, in, one ? 1 : 2, s, image, &y)))
        return DM_FAILED;
    strides(g, a, s, image, sa);
    if (one)
        memset(sb, 0, sizeof sb);
    else
        strides(g, b, s, image, sb);
    if (!collapse(&n->op.out[0], sa, sb, &n->op.a.bcast))
        return dm_graph_fail(g, DM_EINVAL, "a value repeats along too many axes; permute or reshape it first");
    return y;
}

dm_val dm_graph_cast(dm_graph_core *g, dm_val x, dm_dtype type)
{
    const dm_shape s = x < 0 ? (dm_shape){0} : g->values[x].shape;
    dm_gnode *n;
    dm_val y;

    if (x < 0 || g->values[x].type == type)
        return x;
    if ((y = dm_graph_value(g, &s, type, g->values[x].image)) < 0 || !(n = dm_graph_node(g, DM_OP_CAST, &x, 1, &y, 1)))
        return DM_FAILED;
    return y;
}

dm_val dm_graph_sum2(dm_graph_core *g, dm_val a, dm_val b)
{
    const dm_shape s = g->values[a].shape;
    const dm_val in[2] = {a, b};
    dm_val y;
    dm_gnode *n = dm_graph_op1(g, DM_OP_ADD, in, 2, &s, g->values[a].image, &y);

    if (n && g->values[a].type == g->values[b].type)
        g->values[y].type = n->op.out[0].type = g->values[a].type;
    if (n)
        n->op.a.bcast = (dm_attr_bcast){{1, 1, 1, dm_desc_count(&n->op.out[0])}, {0, 0, 0, 1}, {0, 0, 0, 1}};
    return y;
}

dm_val dm_graph_broadcast(dm_graph_core *g, dm_val x, const dm_shape *s)
{
    if (x < 0)
        return DM_FAILED;
    return dm_same_shape(&g->values[x].shape, s) ? x : dm_graph_elementwise(g, DM_OP_BROADCAST, x, DM_NONE, s);
}

static dm_val reduce(dm_graph_core *g, dm_op_kind kind, dm_val x, int64_t outer, int64_t red, int64_t inner, double k,
                     const dm_shape *s, bool image)
{
    dm_val y;
    dm_gnode *n = dm_graph_op1(g, kind, &x, 1, s, image, &y);

    if (n) {
        n->op.a.reduce.outer = outer;
        n->op.a.reduce.red = red;
        n->op.a.reduce.inner = inner;
        n->op.a.reduce.k = k;
    }
    return y;
}

dm_val dm_graph_reduce(dm_graph_core *g, dm_val x, int64_t outer, int64_t red, int64_t inner, double k,
                       const dm_shape *s, bool image)
{
    return reduce(g, DM_OP_REDUCE, x, outer, red, inner, k, s, image);
}

dm_val dm_graph_reduce_like(dm_graph_core *g, dm_val x, dm_val like)
{
    const dm_shape s = g->values[like].shape;

    return dm_graph_reduce_to(g, DM_OP_REDUCE, x, &s, g->values[like].image);
}

/* Axes first to last of what is stored as d, which become 1 there. */
static dm_val reduce_run(dm_graph_core *g, dm_op_kind kind, dm_val x, dm_desc *d, int first, int last)
{
    const int64_t outer = dm_product(d->dim, 0, first), red = dm_product(d->dim, first, last + 1),
                  inner = dm_product(d->dim, last + 1, d->rank);
    dm_shape s = {.rank = d->rank};

    for (int k = first; k <= last; k++)
        d->dim[k] = 1;
    memcpy(s.dim, d->dim, sizeof s.dim);
    return reduce(g, kind, x, outer, red, inner, 1, &s, false);
}

dm_val dm_graph_reduce_to(dm_graph_core *g, dm_op_kind kind, dm_val x, const dm_shape *shape, bool image)
{
    const dm_value from = g->values[x], to = {.shape = *shape, .image = image};
    dm_desc d = dm_graph_desc(g, x);
    int logical[8], last = -1;
    bool ordered = true;

    if (dm_same_shape(&from.shape, &to.shape))
        return x;
    for (int j = 0; j < d.rank; j++)
        logical[j] = dm_logical_axis(from.image, j);
    /* Reduce runs of axes that the result repeats over, the last first. */
    for (int j = d.rank - 1; j >= 0; j--) {
        int first = j;

        if (logical[j] < to.shape.rank && to.shape.dim[logical[j]] == d.dim[j])
            continue;
        while (first > 0 &&
               !(logical[first - 1] < to.shape.rank && to.shape.dim[logical[first - 1]] == d.dim[first - 1]))
            first--;
        if ((x = reduce_run(g, kind, x, &d, first, j)) < 0)
            return DM_FAILED;
        j = first;
    }
    /* What is left lies in the order that it was stored in; the result may want another one. */
    for (int j = 0; j < d.rank; j++)
        if (d.dim[j] > 1) {
            const int at = dm_stored_axis(to.image, logical[j]);

            ordered &= at > last;
            last = at;
        }
    if (!ordered) {
        int32_t axes[8];
        dm_shape s = {.rank = d.rank};

        for (int j = 0; j < d.rank; j++) /* logical order, which a result of rank 4 never wants */
            axes[j] = dm_stored_axis(from.image, j);
        for (int j = 0; j < d.rank; j++)
            s.dim[j] = d.dim[axes[j]];
        x = dm_graph_stored_permute(g, x, &s, false, axes, d.rank);
    }
    return dm_graph_alias(g, x, &to.shape, to.image);
}
