/* An op as text: what tells one op from another where choices are kept. The union of attributes has no tag of its
 * own: which member a kind uses stands here, once. */
#include "device/ops.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

typedef enum type { BOOL, INT, LONG, WORD, REAL } type;
typedef struct field { const char *name; type type; size_t at; int count; } field;
#define FIELD(t, name, member) {name, t, offsetof(dm_opnode, a.member), 1}
#define FIELDS(t, name, member, n) {name, t, offsetof(dm_opnode, a.member), n}

static const field conv[] = {
    FIELD(INT, "k", conv.k), FIELD(INT, "stride", conv.stride), FIELDS(INT, "pad", conv.pad, 2), {0}};
static const field mm[] = {FIELD(BOOL, "ta", mm.ta), FIELD(BOOL, "tb", mm.tb), FIELD(BOOL, "a_batch", mm.a_batch),
                           FIELD(BOOL, "b_batch", mm.b_batch), FIELD(LONG, "batch", mm.batch), FIELD(LONG, "m", mm.m),
                           FIELD(LONG, "n", mm.n), FIELD(LONG, "k", mm.k), {0}};
static const field reduce[] = {FIELD(LONG, "outer", reduce.outer),
                               FIELD(LONG, "red", reduce.red),
                               FIELD(LONG, "inner", reduce.inner),
                               FIELD(REAL, "k", reduce.k),
                               {0}};
static const field bcast[] = {
    FIELDS(LONG, "dim", bcast.dim, 4), FIELDS(LONG, "sa", bcast.sa, 4), FIELDS(LONG, "sb", bcast.sb, 4), {0}};
static const field scale[] = {FIELD(REAL, "k", scale.k), FIELD(REAL, "b", scale.b), {0}};
static const field norm[] = {FIELD(LONG, "N", norm.N),       FIELD(LONG, "C", norm.C),
                             FIELD(LONG, "L", norm.L),       FIELD(LONG, "groups", norm.groups),
                             FIELD(REAL, "eps", norm.eps),   FIELD(BOOL, "channels_last", norm.channels_last),
                             FIELD(BOOL, "silu", norm.silu), {0}};
static const field attn[] = {FIELD(LONG, "heads", attn.heads), {0}};
static const field concat[] = {
    FIELD(LONG, "outer", concat.outer), FIELD(LONG, "wa", concat.wa), FIELD(LONG, "wb", concat.wb), {0}};
static const field slice[] = {FIELD(LONG, "outer", slice.outer),
                              FIELD(LONG, "width", slice.width),
                              FIELD(LONG, "first", slice.first),
                              FIELD(LONG, "count", slice.count),
                              {0}};
static const field perm[] = {FIELDS(INT, "axes", perm.axes, 8), {0}};
static const field factor[] = {FIELD(LONG, "factor", factor.factor), {0}};
static const field embed[] = {FIELD(BOOL, "flip", embed.flip), {0}};
static const field random[] = {FIELD(REAL, "p", random.p),         FIELD(WORD, "purpose", random.purpose),
                               FIELD(WORD, "node", random.node),   FIELD(WORD, "draw", random.draw),
                               FIELD(BOOL, "image", random.image), {0}};
static const field levels[] = {FIELD(INT, "levels", levels.levels), {0}};

/* NULL: no attributes. */
static const field *const fields_of[DM_OP_COUNT] = {
    [DM_OP_CONV2D] = conv,
    [DM_OP_CONV2D_DX] = conv,
    [DM_OP_CONV2D_DW] = conv,
    [DM_OP_MATMUL] = mm,
    [DM_OP_REDUCE] = reduce,
    [DM_OP_ADD] = bcast,
    [DM_OP_MUL] = bcast,
    [DM_OP_BROADCAST] = bcast,
    [DM_OP_SCALE] = scale,
    [DM_OP_GROUP_NORM] = norm,
    [DM_OP_GROUP_NORM_DX] = norm,
    [DM_OP_LAYER_NORM] = norm,
    [DM_OP_LAYER_NORM_DX] = norm,
    [DM_OP_ATTENTION] = attn,
    [DM_OP_ATTENTION_DX] = attn,
    [DM_OP_CONCAT] = concat,
    [DM_OP_SLICE] = slice,
    [DM_OP_PAD] = slice,
    [DM_OP_PERMUTE] = perm,
    [DM_OP_UPSAMPLE] = factor,
    [DM_OP_UPSAMPLE_DX] = factor,
    [DM_OP_AVG_POOL] = factor,
    [DM_OP_AVG_POOL_DX] = factor,
    [DM_OP_TIME_EMBED] = embed,
    [DM_OP_DROPOUT] = random,
    [DM_OP_RANDN] = random,
    [DM_OP_DISCRETIZED_NLL] = levels,
    [DM_OP_DISCRETIZED_NLL_DX] = levels,
};

typedef struct line { char *text; size_t size, n; } line;

DM_PRINTF(2, 3) static void put(line *l, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(l->n < l->size ? l->text + l->n : NULL, l->n < l->size ? l->size - l->n : 0, fmt, ap);
    va_end(ap);
    l->n += n > 0 ? (size_t)n : 0;
}

static void put_desc(line *l, const dm_desc *d)
{
    static const char *const types[] = {
        [DM_DT_F32] = "f32", [DM_DT_I32] = "i32", [DM_DT_BF16] = "bf16", [DM_DT_F16] = "f16"};

    if (d->rank < 0) {
        put(l, " -");
        return;
    }
    put(l, " %s[", types[d->type]);
    for (int32_t i = 0; i < d->rank; i++)
        put(l, "%s%lld", i ? "," : "", (long long)d->dim[i]);
    put(l, "]");
}

static void put_field(line *l, const dm_opnode *n, const field *f)
{
    const char *p = (const char *)n + f->at;

    put(l, " %s=", f->name);
    for (int i = 0; i < f->count; i++) {
        const char *comma = i ? "," : "";

        switch (f->type) {
        case BOOL: put(l, "%s%d", comma, ((const bool *)(const void *)p)[i]); break;
        case INT: put(l, "%s%d", comma, (int)((const int32_t *)(const void *)p)[i]); break;
        case LONG: put(l, "%s%lld", comma, (long long)((const int64_t *)(const void *)p)[i]); break;
        case WORD: put(l, "%s%u", comma, (unsigned)((const uint32_t *)(const void *)p)[i]); break;
        case REAL: put(l, "%s%.17g", comma, ((const double *)(const void *)p)[i]); break;
        }
    }
}

size_t dm_op_key(const dm_opnode *n, char *text, size_t size)
{
    line l = {text, size, 0};

    put(&l, "%s", dm_op_name(n->kind));
    for (int32_t i = 0; i < n->n_in; i++)
        put_desc(&l, &n->in[i]);
    put(&l, " >");
    for (int32_t i = 0; i < n->n_out; i++)
        put_desc(&l, &n->out[i]);
    if (n->accum)
        put(&l, " accum");
    if (n->full_precision)
        put(&l, " close");
    for (const field *f = n->kind >= 0 && n->kind < DM_OP_COUNT ? fields_of[n->kind] : NULL; f && f->name; f++)
        put_field(&l, n, f);
    return l.n;
}
