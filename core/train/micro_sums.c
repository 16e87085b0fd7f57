/* Sums of micro-batches; see micro_sums.h. */
#include "train/micro_sums.h"

static void add(float *to, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += x[i];
}

void dm_micro_push(dm_micro_row *r, dm_micro_sum next, size_t at, size_t n, dm_micro_spare *spare)
{
    while (r->n && next.index % 2 && r->sum[r->n - 1].level == next.level) {
        const dm_micro_sum *left = &r->sum[--r->n];

        if (next.x) {
            add(left->x + at, next.x + at, n);
            if (spare)
                spare->x[spare->n++] = next.x;
        }
        next = (dm_micro_sum){next.index / 2, next.level + 1, left->x};
    }
    r->sum[r->n++] = next;
}

const float *dm_micro_total(dm_micro_row *r, size_t n)
{
    while (r->n > 1) {
        r->n--;
        add(r->sum[r->n - 1].x, r->sum[r->n].x, n);
    }
    return r->sum[0].x;
}
