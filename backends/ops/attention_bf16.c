/* Attention of bf16 and its gradient on CPUs; see kernels/attention/attention_bf16.cl. A slice of the batch at a time is
 * rearranged into scratch. */
#include "conv_bf16.h"

#include <math.h>

enum { UNIT = 64, SLICE_BYTES = 32 << 20 };
enum { ROWS, COLS, PAIRS };
static const char file[] = "attention/attention_bf16.cl";
static const char *const options[] = {[DM_BF16_TILES] = "-DW=16 -DAMX", [DM_BF16_PAIRS] = "-DW=16 -DPAIRS", [DM_BF16_PLAIN] = "-DW=16"};

typedef struct attn {
    int64_t N, L, M, heads, d, lp, mp, dp; /* lp, mp, dp: multiples of 32 */
    int64_t keys, queries;         /* units of a head's rearranged keys, queries */
    int64_t head, each;            /* units of a head in all; examples of a slice */
    double scale;
} attn;

static int64_t round_up(int64_t n) { return (n + 31) / 32 * 32; }

static attn attn_of(const dm_opnode *n)
{
    const bool back = n->kind == DM_OP_ATTENTION_DX;
    const dm_desc *q = &n->in[back], *k = &n->in[back + 1];
    attn a = {.N = q->dim[0], .L = q->dim[1], .M = k->dim[1], .heads = n->a.attn.heads, .d = q->dim[2] / n->a.attn.heads};

    a.lp = round_up(a.L);
    a.mp = round_up(a.M);
    a.dp = round_up(a.d);
    a.keys = a.mp * a.dp * 2 / UNIT;
    a.queries = a.lp * a.dp * 2 / UNIT;
    a.head = back ? 3 * a.keys + 4 * a.queries + a.lp * 4 / UNIT : 2 * a.keys + a.queries;
    a.each = SLICE_BYTES / (a.head * a.heads * UNIT);
    a.each = a.each < 1 ? 1 : a.each > a.N ? a.N : a.each;
    a.scale = 1 / sqrt((double)a.d);
    return a;
}

/* Bytes of local memory: scores and weights against all keys; weights of two kinds against all queries. */
static int64_t local_of(const dm_opnode *n, const attn *a)
{
    const int64_t kv = 2 * a->lp * 64, q = a->mp * 64;

    return n->kind == DM_OP_ATTENTION ? a->mp * 192 : kv > q ? kv : q;
}

static bool serves(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const attn a = attn_of(n);

    return dm_bf16_able(dev, unit) && n->in[0].type == DM_DT_BF16 && local_of(n, &a) <= (int64_t)dev->local_mem &&
           a.head * a.heads * a.each < 1 << 30;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const attn a = attn_of(n);

    (void)dev;
    return (size_t)(a.head * a.heads * a.each * UNIT);
}

typedef struct slice { dm_emit *e; const attn *a; const char *options; int64_t n0, count, at; } slice;

static dm_status launch(slice *s, const char *name, int64_t blocks, const dm_karg *args, int n)
{
    const dm_range r = {.dim = 2, .global = {(size_t)blocks, (size_t)(s->count * s->a->heads)}, .local = {1, 1}};

    return dm_emit_launch(s->e, s->e->cmds, file, name, s->options, &r, args, n);
}

/* Input x of T tokens in this form; *to: where. */
static dm_status arrange(slice *s, dm_buf *x, int form, bool key, int64_t *to)
{
    const attn *a = s->a;

    *to = s->at;
    s->at += (key ? a->keys : a->queries) * s->count * a->heads;
    return launch(s, "arrange", (key ? a->mp : a->lp) / 32,
                  DM_KARGS(DM_KB(x), DM_KB(s->e->scratch), DM_KI(*to), DM_KI(form), DM_KI(s->n0), DM_KI(key ? a->M : a->L), DM_KI(a->heads),
                           DM_KI(a->d), DM_KI(a->dp)));
}

#define EXTENTS(s) DM_KI((s)->n0), DM_KI((s)->a->L), DM_KI((s)->a->M), DM_KI((s)->a->heads), DM_KI((s)->a->d), DM_KI((s)->a->dp), DM_KF((s)->a->scale)

static dm_status forward(slice *s)
{
    dm_buf *const *in = s->e->in, *const *out = s->e->out;
    const attn *a = s->a;
    int64_t k, q, v;
    dm_status rc;

    if ((rc = arrange(s, in[1], ROWS, true, &k)) || (rc = arrange(s, in[0], COLS, false, &q)) || (rc = arrange(s, in[2], PAIRS, true, &v)))
        return rc;
    return launch(s, "forward", a->lp / 32,
                  DM_KARGS(DM_KB(s->e->scratch), DM_KI(k), DM_KI(q), DM_KI(v), DM_KB(out[0]), DM_KB(out[1]), EXTENTS(s),
                           DM_KL((size_t)a->mp * 128), DM_KL((size_t)a->mp * 64)));
}

enum { DY, Q, K, V, Y, LSE };

static dm_status backward(slice *s)
{
    dm_buf *const *in = s->e->in, *const *out = s->e->out;
    const attn *a = s->a;
    int64_t krows, vrows, qcols, dycols, kpairs, qpairs, dypairs, delta;
    dm_status rc;

    if ((rc = arrange(s, in[K], ROWS, true, &krows)) || (rc = arrange(s, in[V], ROWS, true, &vrows)) ||
        (rc = arrange(s, in[Q], COLS, false, &qcols)) || (rc = arrange(s, in[DY], COLS, false, &dycols)) ||
        (rc = arrange(s, in[K], PAIRS, true, &kpairs)) || (rc = arrange(s, in[Q], PAIRS, false, &qpairs)) ||
        (rc = arrange(s, in[DY], PAIRS, false, &dypairs)))
        return rc;
    delta = s->at;
    if ((rc = launch(s, "deltas", a->lp,
                     DM_KARGS(DM_KB(in[DY]), DM_KB(in[Y]), DM_KB(s->e->scratch), DM_KI(delta), DM_KI(s->n0), DM_KI(a->L), DM_KI(a->heads),
                              DM_KI(a->d)))) ||
        (rc = launch(s, "backward_q", a->lp / 32,
                     DM_KARGS(DM_KB(s->e->scratch), DM_KI(krows), DM_KI(vrows), DM_KI(qcols), DM_KI(dycols), DM_KI(kpairs), DM_KI(delta),
                              DM_KB(in[LSE]), DM_KB(out[0]), EXTENTS(s), DM_KL((size_t)a->mp * 64)))))
        return rc;
    return launch(s, "backward_kv", a->mp / 32,
                  DM_KARGS(DM_KB(s->e->scratch), DM_KI(krows), DM_KI(vrows), DM_KI(qcols), DM_KI(dycols), DM_KI(qpairs), DM_KI(dypairs),
                           DM_KI(delta), DM_KB(in[LSE]), DM_KB(out[1]), DM_KB(out[2]), EXTENTS(s), DM_KL((size_t)a->lp * 64),
                           DM_KL((size_t)a->lp * 64)));
}

static dm_status emit(dm_emit *e, dm_bf16_unit unit)
{
    const attn a = attn_of(e->node);
    slice s = {.e = e, .a = &a, .options = options[unit]};
    dm_status rc = DM_OK;

    for (s.n0 = 0; s.n0 < a.N && !rc; s.n0 += a.each) {
        s.count = a.N - s.n0 < a.each ? a.N - s.n0 : a.each;
        s.at = 0;
        rc = e->node->kind == DM_OP_ATTENTION ? forward(&s) : backward(&s);
    }
    return rc;
}

DM_BF16_UNITS(serves, emit)

static const dm_impl impls[] = {DM_BF16_IMPLS(DM_OP_ATTENTION, scratch), DM_BF16_IMPLS(DM_OP_ATTENTION_DX, scratch)};

const dm_impl *const dm_impls_attention_bf16[] = {&impls[0], &impls[1], &impls[2], &impls[3], &impls[4], &impls[5], NULL};
