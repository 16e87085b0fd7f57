/* The ops without weights of the public graph table. */
#include "graph/graph_shape.h"
#include "graph/op_def.h"

#include <math.h>
#include <string.h>

static dm_val reshape(const dm_graph *api, dm_val x, const dm_shape *s)
{
    dm_graph_core *g = dm_graph_of(api);

    if (!s)
        return dm_graph_fail(g, DM_EINVAL, "reshape was given NULL for its shape");
    return dm_graph_has(g, "reshape", DM_DT_F32, &x, 1) ? dm_graph_reshape(g, x, s) : DM_FAILED;
}

static dm_val permute(const dm_graph *api, dm_val x, const int32_t *axes)
{
    dm_graph_core *g = dm_graph_of(api);

    if (!axes)
        return dm_graph_fail(g, DM_EINVAL, "permute was given NULL for its axes");
    return dm_graph_has(g, "permute", DM_DT_F32, &x, 1) ? dm_graph_permute(g, x, axes) : DM_FAILED;
}

static dm_val binary(const dm_graph *api, dm_op_kind kind, dm_val a, dm_val b)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sa = api->shape(api, a), sb = api->shape(api, b);
    dm_shape s = sa.rank > sb.rank ? sa : sb;

    if (!dm_graph_has(g, dm_op_name(kind), DM_DT_F32, (dm_val[]){a, b}, 2))
        return DM_FAILED;
    for (int i = 0; i < s.rank; i++) {
        if (sa.dim[i] != sb.dim[i] && sa.dim[i] != 1 && sb.dim[i] != 1)
            return dm_graph_fail(g, DM_EINVAL, "%s: extents %lld and %lld of axis %d do not fit", dm_op_name(kind),
                                 (long long)sa.dim[i], (long long)sb.dim[i], i);
        s.dim[i] = sa.dim[i] > sb.dim[i] ? sa.dim[i] : sb.dim[i];
    }
    return dm_graph_elementwise(g, kind, a, b, &s);
}

static dm_val add(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_ADD, a, b); }
static dm_val mul(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_MUL, a, b); }

static dm_val unary(const dm_graph *api, dm_op_kind kind, dm_val x)
{
    const dm_shape s = api->shape(api, x);
    dm_val y;

    if (!dm_graph_has(dm_graph_of(api), dm_op_name(kind), DM_DT_F32, &x, 1))
        return DM_FAILED;
    dm_graph_op1(dm_graph_of(api), kind, &x, 1, &s, s.rank == 4, &y);
    return y;
}

static dm_val silu(const dm_graph *g, dm_val x) { return unary(g, DM_OP_SILU, x); }
static dm_val gelu(const dm_graph *g, dm_val x) { return unary(g, DM_OP_GELU, x); }

static dm_val scale(const dm_graph *api, dm_val x, double k, double b)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_val y;
    dm_gnode *n;

    if (!dm_graph_has(g, "scale", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (!isfinite(k) || !isfinite(b))
        return dm_graph_fail(g, DM_EINVAL, "scale by %g plus %g; both must be finite", k, b);
    if ((n = dm_graph_op1(g, DM_OP_SCALE, &x, 1, &s, s.rank == 4, &y))) {
        n->op.a.scale.k = k;
        n->op.a.scale.b = b;
    }
    return y;
}

static dm_val constant(const dm_graph *api, const float *v, const dm_shape *s)
{
    dm_graph_core *g = dm_graph_of(api);
    const int64_t count = !v || !s || s->rank < 0 || s->rank > 8 ? -1 : dm_product(s->dim, 0, s->rank);
    const float *copy;
    dm_val x;

    if (count < 1 || count > INT64_C(1) << 30)
        return dm_graph_fail(g, DM_EINVAL, "constant of rank %d and %lld elements cannot be",
                             s ? (int)s->rank : -1, (long long)count);
    if (!(copy = dm_memdup(g->arena, v, (size_t)count * sizeof *v)))
        return dm_graph_fail(g, DM_ENOMEM, "out of memory for a constant of %lld elements", (long long)count);
    if ((x = dm_graph_value(g, s, DM_DT_F32, false)) < 0)
        return DM_FAILED;
    g->values[x].source = DM_VAL_CONST;
    g->values[x].data = copy;
    return dm_graph_to_image(g, x);
}

static dm_val dropout(const dm_graph *api, dm_val x, double p)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_val in[2] = {x, DM_NONE}, y;
    dm_gnode *n;

    if (!dm_graph_has(g, "dropout", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (!(p < 1) || s.rank < 1)
        return dm_graph_fail(g, DM_EINVAL, "dropout of %g; it must be below 1", p);
    if (p <= 0 || !g->training)
        return x;
    in[1] = dm_graph_state(g);
    if ((n = dm_graph_op1(g, DM_OP_DROPOUT, in, 2, &s, s.rank == 4, &y))) {
        n->op.a.random.p = p;
        n->op.a.random.purpose = DM_PURPOSE_DROPOUT;
        n->op.a.random.image = s.rank == 4;
    }
    return y;
}

dm_val dm_graph_randn(dm_graph_core *g, dm_val like, uint32_t purpose, uint32_t node, uint32_t draw)
{
    const dm_val state = dm_graph_state(g);
    const dm_shape s = g->values[like].shape;
    dm_val y;
    dm_gnode *n = dm_graph_op1(g, DM_OP_RANDN, &state, 1, &s, s.rank == 4, &y);

    if (n) {
        n->op.a.random.purpose = purpose;
        n->op.a.random.node = node;
        n->op.a.random.draw = draw;
        n->op.a.random.image = s.rank == 4;
    }
    return y;
}

static dm_val attention(const dm_graph *api, dm_val q, dm_val k, dm_val v, int64_t heads)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sq = api->shape(api, q), sk = api->shape(api, k), sv = api->shape(api, v);
    const dm_val in[3] = {q, k, v};
    dm_val out[2];
    dm_gnode *n;

    if (!dm_graph_has(g, "attention", DM_DT_F32, in, 3))
        return DM_FAILED;
    if (sq.rank != 3 || !dm_same_shape(&sk, &sv) || sk.rank != 3 || sq.dim[0] != sk.dim[0] || sq.dim[2] != sk.dim[2] ||
        heads < 1 || sq.dim[2] % heads)
        return dm_graph_fail(g, DM_EINVAL, "attention needs q [N,L,D], k and v [N,M,D], and heads that divide D = %lld",
                             (long long)sq.dim[2]);
    out[0] = dm_graph_value(g, &sq, DM_DT_F32, false);
    out[1] = dm_graph_value(g, &(dm_shape){3, {sq.dim[0], heads, sq.dim[1]}}, DM_DT_F32, false);
    if (!(n = dm_graph_node(g, DM_OP_ATTENTION, in, 3, out, 2)))
        return DM_FAILED;
    n->op.a.attn.heads = heads;
    return out[0];
}

static dm_val concat(const dm_graph *api, dm_val a, dm_val b, int32_t axis)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sa = api->shape(api, a), sb = api->shape(api, b);
    const dm_val in[2] = {a, b};
    dm_shape s = sa;
    bool fits = sa.rank == sb.rank && axis >= 0 && axis < sa.rank;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "concat", DM_DT_F32, in, 2))
        return DM_FAILED;
    for (int i = 0; fits && i < sa.rank; i++)
        fits = i == axis || sa.dim[i] == sb.dim[i];
    if (!fits)
        return dm_graph_fail(g, DM_EINVAL, "concat along axis %d needs the other extents to be equal", (int)axis);
    s.dim[axis] += sb.dim[axis];
    if ((n = dm_graph_op1(g, DM_OP_CONCAT, in, 2, &s, s.rank == 4, &y))) {
        const int at = dm_stored_axis(s.rank == 4, axis);

        n->op.a.concat.outer = dm_product(n->op.out[0].dim, 0, at);
        n->op.a.concat.wa = dm_product(n->op.in[0].dim, at, s.rank);
        n->op.a.concat.wb = dm_product(n->op.in[1].dim, at, s.rank);
    }
    return y;
}

static dm_val slice(const dm_graph *api, dm_val x, int32_t axis, int64_t first, int64_t count)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape from = api->shape(api, x);
    dm_shape s = from;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "slice", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (axis < 0 || axis >= from.rank || first < 0 || count < 1 || first > from.dim[axis] - count)
        return dm_graph_fail(g, DM_EINVAL, "slice [%lld, %lld) of axis %d cannot be", (long long)first,
                             (long long)(first + count), (int)axis);
    s.dim[axis] = count;
    if ((n = dm_graph_op1(g, DM_OP_SLICE, &x, 1, &s, s.rank == 4, &y))) {
        const int at = dm_stored_axis(s.rank == 4, axis);
        const int64_t inner = dm_product(n->op.in[0].dim, at + 1, s.rank);

        n->op.a.slice.outer = dm_product(n->op.in[0].dim, 0, at);
        n->op.a.slice.width = from.dim[axis] * inner;
        n->op.a.slice.first = first * inner;
        n->op.a.slice.count = count * inner;
    }
    return y;
}

static dm_val resized(const dm_graph *api, dm_op_kind kind, dm_val x, int32_t f, bool up)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_shape s = api->shape(api, x);
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, dm_op_name(kind), DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (s.rank != 4 || f < 1 || f > 64 || (!up && (s.dim[2] % f || s.dim[3] % f)))
        return dm_graph_fail(g, DM_EINVAL, "%s by %d needs images%s, not rank %d of %lld x %lld", dm_op_name(kind),
                             (int)f, up ? "" : " whose sides it divides", (int)s.rank, (long long)s.dim[2],
                             (long long)s.dim[3]);
    for (int i = 2; i < 4; i++)
        s.dim[i] = up ? s.dim[i] * f : s.dim[i] / f;
    if ((n = dm_graph_op1(g, kind, &x, 1, &s, true, &y)))
        n->op.a.factor.factor = f;
    return y;
}

static dm_val upsample(const dm_graph *g, dm_val x, int32_t f) { return resized(g, DM_OP_UPSAMPLE, x, f, true); }
static dm_val avg_pool(const dm_graph *g, dm_val x, int32_t k) { return resized(g, DM_OP_AVG_POOL, x, k, false); }

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
    in[1] = constant(api, freq, &(dm_shape){1, {half}});
    if ((n = dm_graph_op1(g, DM_OP_TIME_EMBED, in, 2, &(dm_shape){2, {s.dim[0], dim}}, false, &y)))
        n->op.a.embed.flip = flip;
    return y;
}

static dm_val mean(const dm_graph *api, dm_val x)
{
    const dm_shape s = api->shape(api, x);
    const int64_t rest = dm_product(s.dim, 1, s.rank);

    if (!dm_graph_has(dm_graph_of(api), "mean", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (s.rank < 1)
        return dm_graph_fail(dm_graph_of(api), DM_EINVAL, "mean needs a value of rank 1 or above");
    return dm_graph_reduce(dm_graph_of(api), x, s.dim[0], rest, 1, 1 / (double)rest, &(dm_shape){1, {s.dim[0]}}, false);
}

static dm_val stop_gradient(const dm_graph *api, dm_val x)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_val y;

    if (!dm_graph_has(g, "stop_gradient", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if ((y = dm_graph_alias(g, x, &s, g->values[x].image)) >= 0)
        g->values[y].needs_grad = false;
    return y;
}

static dm_val cross_entropy(const dm_graph *api, dm_val logits, dm_val labels)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, logits), l = api->shape(api, labels);
    const dm_val in[2] = {logits, labels};
    dm_val y;

    if (labels == DM_NONE)
        return dm_graph_fail(g, DM_EINVAL, "cross entropy needs labels; this data has none");
    if (!dm_graph_has(g, "cross entropy: logits", DM_DT_F32, &logits, 1) ||
        !dm_graph_has(g, "cross entropy: labels", DM_DT_I32, &labels, 1))
        return DM_FAILED;
    if (s.rank != 2 || l.rank != 1 || l.dim[0] != s.dim[0])
        return dm_graph_fail(g, DM_EINVAL, "cross entropy needs logits f32[N,K] and labels i32[N]");
    dm_graph_op1(g, DM_OP_CROSS_ENTROPY, in, 2, &(dm_shape){1, {s.dim[0]}}, false, &y);
    return y;
}

/* The shape that n values repeat to; false where they do not fit. */
static bool common_shape(const dm_graph *api, const dm_val *in, int n, dm_shape *s)
{
    *s = api->shape(api, in[0]);
    for (int i = 1; i < n; i++) {
        const dm_shape t = api->shape(api, in[i]);

        if (t.rank > s->rank)
            s->rank = t.rank;
        for (int a = 0; a < s->rank; a++) {
            if (t.dim[a] != s->dim[a] && t.dim[a] != 1 && s->dim[a] != 1)
                return false;
            if (t.dim[a] > s->dim[a])
                s->dim[a] = t.dim[a];
        }
    }
    return true;
}

static dm_val loss_of(const dm_graph *api, dm_op_kind kind, dm_val *in, int n_in, int32_t levels)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_gnode *n;
    dm_shape s;
    dm_val y;

    if (!dm_graph_has(g, dm_op_name(kind), DM_DT_F32, in, n_in))
        return DM_FAILED;
    if (!common_shape(api, in, n_in, &s))
        return dm_graph_fail(g, DM_EINVAL, "%s: shapes do not fit", dm_op_name(kind));
    for (int i = 0; i < n_in; i++)
        in[i] = dm_graph_broadcast(g, in[i], &s);
    if ((n = dm_graph_op1(g, kind, in, n_in, &s, s.rank == 4, &y)))
        n->op.a.levels.levels = levels;
    return y;
}

static dm_val gaussian_kl(const dm_graph *g, dm_val m1, dm_val lv1, dm_val m2, dm_val lv2)
{
    return loss_of(g, DM_OP_GAUSSIAN_KL, (dm_val[]){m1, lv1, m2, lv2}, 4, 0);
}

static dm_val discretized_nll(const dm_graph *g, dm_val x, dm_val m, dm_val lv, int32_t levels)
{
    if (levels < 2)
        return dm_graph_fail(dm_graph_of(g), DM_EINVAL, "discretized likelihood of %d levels; at least 2", (int)levels);
    return loss_of(g, DM_OP_DISCRETIZED_NLL, (dm_val[]){x, m, lv}, 3, levels);
}

/* Whether a plugin's op is whole; else the reason is recorded. */
static bool usable(dm_graph_core *g, const dm_op *op, const dm_val *in, const dm_val *out)
{
    if (!op || !in || !out)
        dm_graph_fail(g, DM_EINVAL, "custom was given NULL for its %s", !op ? "op" : !in ? "inputs" : "outputs");
    else if (!g->owner)
        dm_graph_fail(g, DM_EINVAL, "custom may be called in build() and loss() alone");
    else if (!dm_instance_static(op))
        dm_graph_fail(g, DM_EINVAL,
                      "custom was given an op on the stack or heap; it is used after the call, make it static const");
    else if (!op->name || !*op->name)
        dm_graph_fail(g, DM_EINVAL, "custom was given an op without a name");
    else if (!DM_HAS(dm_op, op, backward))
        dm_graph_fail(g, DM_EINVAL, "op '%s' has size %u where the interface has %zu", op->name, (unsigned)op->size,
                      sizeof *op);
    else if (op->n_in < 1 || op->n_in > DM_MAX_IN || op->n_out < 1 || op->n_out > DM_MAX_OUT)
        dm_graph_fail(g, DM_EINVAL, "op '%s' has %d inputs and %d outputs; 1 to %d of each are possible", op->name,
                      (int)op->n_in, (int)op->n_out, (int)DM_MAX_IN);
    else if (!op->shape || !op->forward)
        dm_graph_fail(g, DM_EINVAL, "op '%s' has no function '%s', which is required", op->name,
                      op->shape ? "forward" : "shape");
    return !g->err.code;
}

static dm_status custom(const dm_graph *api, const dm_op *op, const dm_val *in, dm_val *out)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_shape si[DM_MAX_IN], so[DM_MAX_OUT];
    dm_val vi[DM_MAX_IN], vo[DM_MAX_OUT];
    char name[112];
    dm_err why;
    dm_status rc;
    dm_gnode *n;

    for (int i = 0; op && out && i < op->n_out && i < DM_MAX_OUT; i++)
        out[i] = DM_FAILED;
    if (g->err.code || !usable(g, op, in, out))
        return g->err.code;
    snprintf(name, sizeof name, "op '%.100s'", op->name);
    if (!dm_graph_has(g, name, DM_DT_F32, in, op->n_in))
        return g->err.code;
    for (int i = 0; i < op->n_in; i++) {
        si[i] = api->shape(api, in[i]);
        vi[i] = dm_graph_to_rows(g, in[i]);
    }
    memset(so, 0, sizeof so);
    dm_call_host_enter();
    rc = DM_CALL(g->owner, DM_CB_OP_SHAPE, &why, op->shape(&g->owner->ctx, si, so));
    dm_call_host_leave();
    if (rc)
        return dm_graph_fail(g, rc, "%s: %.900s", name, why.msg), g->err.code;
    for (int i = 0; i < op->n_out; i++) {
        if (so[i].rank < 0 || so[i].rank > 8)
            return dm_graph_fail(g, DM_EINVAL, "%s: its shape() gives output %d the rank %d", name, i, (int)so[i].rank),
                   g->err.code;
        for (int k = 0; k < so[i].rank; k++)
            if (so[i].dim[k] < 1)
                return dm_graph_fail(g, DM_EINVAL, "%s: its shape() gives output %d the extent %lld at axis %d", name,
                                     i, (long long)so[i].dim[k], k),
                       g->err.code;
        vo[i] = dm_graph_value(g, &so[i], DM_DT_F32, false);
    }
    if (!(n = dm_graph_node(g, DM_OP_CUSTOM, vi, op->n_in, vo, op->n_out)))
        return g->err.code;
    n->custom = op;
    for (int i = 0; i < op->n_out; i++)
        out[i] = dm_graph_to_image(g, vo[i]);
    return g->err.code;
}

void dm_graph_fill_ops(dm_graph *api)
{
    api->constant = constant;
    api->attention = attention;
    api->silu = silu;
    api->gelu = gelu;
    api->dropout = dropout;
    api->add = add;
    api->mul = mul;
    api->scale = scale;
    api->concat = concat;
    api->slice = slice;
    api->reshape = reshape;
    api->permute = permute;
    api->upsample = upsample;
    api->avg_pool = avg_pool;
    api->time_embed = time_embed;
    api->mean = mean;
    api->stop_gradient = stop_gradient;
    api->cross_entropy = cross_entropy;
    api->gaussian_kl = gaussian_kl;
    api->discretized_nll = discretized_nll;
    api->custom = custom;
}
