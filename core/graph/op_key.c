/* An op as text: what tells one op from another where choices are kept. */
#include "graph/op_def.h"

#include <stdarg.h>
#include <stdio.h>

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

static void put_field(line *l, const dm_opnode *n, const dm_op_attr *f)
{
    const char *p = (const char *)n + f->at;

    put(l, " %s=", f->name);
    for (int i = 0; i < f->count; i++) {
        const char *comma = i ? "," : "";

        switch (f->type) {
        case DM_ATTR_BOOL: put(l, "%s%d", comma, ((const bool *)(const void *)p)[i]); break;
        case DM_ATTR_INT: put(l, "%s%d", comma, (int)((const int32_t *)(const void *)p)[i]); break;
        case DM_ATTR_LONG: put(l, "%s%lld", comma, (long long)((const int64_t *)(const void *)p)[i]); break;
        case DM_ATTR_WORD: put(l, "%s%u", comma, (unsigned)((const uint32_t *)(const void *)p)[i]); break;
        case DM_ATTR_REAL: put(l, "%s%.17g", comma, ((const double *)(const void *)p)[i]); break;
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
        put(&l, " close"); /* as choices that are kept have it */
    for (const dm_op_attr *f = dm_op_def_of(n->kind)->attrs; f && f->name; f++)
        put_field(&l, n, f);
    return l.n;
}
