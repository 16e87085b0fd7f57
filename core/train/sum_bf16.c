/* Sums over ranks in bf16; see sum_bf16.h. Each rank sends every other one its part of what that one adds up, and gets
 * the sums of all: what a ring sends too, without a rounding at every rank that it passes. */
#include "train/sum_bf16.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct dm_sum_bf16 {
    dm_comm *comm;
    uint16_t *sent, *got;          /* [ranks,part], with the most elements in a part */
};

/* To nearest, ties to even; a NaN stays one. */
static uint16_t to_bf16(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

static size_t part_of(const dm_comm *c, size_t n) { return (n + (size_t)c->size - 1) / (size_t)c->size; }

dm_status dm_sum_bf16_new(dm_comm *c, size_t most, dm_sum_bf16 **out, dm_err *err)
{
    const size_t bytes = part_of(c, most) * (size_t)c->size * sizeof(uint16_t);
    dm_sum_bf16 *s = calloc(1, sizeof *s);

    if (s) {
        s->comm = c;
        s->sent = calloc(1, bytes);
        s->got = calloc(1, bytes);
    }
    if (!s || !s->sent || !s->got) {
        dm_sum_bf16_free(s);
        return dm_error(err, DM_ENOMEM, "out of memory for the sum of gradients over ranks");
    }
    *out = s;
    return DM_OK;
}

void dm_sum_bf16_free(dm_sum_bf16 *s)
{
    if (s) {
        free(s->sent);
        free(s->got);
    }
    free(s);
}

dm_status dm_sum_bf16_run(dm_sum_bf16 *s, float *x, size_t n, dm_err *err)
{
    dm_comm *c = s->comm;
    const size_t part = part_of(c, n);
    dm_status rc;

    for (size_t i = 0; i < part * (size_t)c->size; i++)
        s->sent[i] = i < n ? to_bf16(x[i]) : 0;
    if ((rc = c->calls->all_to_all(c, s->sent, part * sizeof *s->sent, s->got, err)))
        return rc;
    for (size_t i = 0; i < part; i++) {
        float sum = 0;

        for (int k = 0; k < c->size; k++)
            sum += from_bf16(s->got[(size_t)k * part + i]);
        s->sent[i] = to_bf16(sum);
    }
    if ((rc = c->calls->all_gather(c, s->sent, part * sizeof *s->sent, s->got, err)))
        return rc;
    for (size_t i = 0; i < n; i++)
        x[i] = from_bf16(s->got[i]);
    return DM_OK;
}
