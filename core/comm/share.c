/* Ranks' parts of a batch; see share.h. */
#include "comm/share.h"

static int64_t less(int64_t a, int64_t b) { return a < b ? a : b; }

/* The first of the units 0..n-1 that is rank's or a later one's. */
static int64_t first_of(int64_t n, int rank, int size)
{
    return n / size * rank + less(n % size, rank);
}

/* Examples that are not parted, and how many times the batch has as many. */
static int64_t unit_of(int64_t batch, int64_t micro, int size, int64_t *units)
{
    const int64_t whole = micro > 0 ? (batch + micro - 1) / micro : 0;

    *units = whole >= size ? whole : batch;
    return whole >= size ? micro : 1;
}

dm_share dm_share_of(int64_t batch, int64_t micro, int rank, int size)
{
    int64_t units;
    const int64_t unit = unit_of(batch, micro, size, &units);
    const int64_t first = first_of(units, rank, size) * unit, end = first_of(units, rank + 1, size) * unit;

    return (dm_share){first, less(end, batch) - first};
}

/* The rank that would have the least to do with one unit more, or (more 0) that has the most to do now. */
static int find(const int64_t *n, const double *weight, int size, int more)
{
    int found = -1;

    for (int k = 0; k < size; k++) {
        const double time = (double)(n[k] + more) / weight[k],
                     best = found < 0 ? 0 : (double)(n[found] + more) / weight[found];

        if ((more || n[k] > 1) && (found < 0 || (more ? time < best : time > best)))
            found = k;
    }
    return found;
}

void dm_share_weighted(int64_t batch, int64_t micro, const double *weight, int size, int64_t *n)
{
    int64_t units, left;
    const int64_t unit = unit_of(batch, micro, size, &units);
    double sum = 0;

    for (int k = 0; k < size; k++)
        sum += weight[k];
    left = units;
    for (int k = 0; k < size; k++) {
        n[k] = (int64_t)((double)units * (weight[k] / sum));
        n[k] = n[k] > 1 ? n[k] : 1;
        left -= n[k];
    }
    for (int k; left < 0 && (k = find(n, weight, size, 0)) >= 0; left++)
        n[k]--;
    for (; left > 0; left--)
        n[find(n, weight, size, 1)]++;
    for (int k = 0; k < size; k++)
        n[k] *= unit;
    n[size - 1] -= units * unit - batch; /* the last unit may be less than whole */
}

int64_t dm_share_most(int64_t batch, int64_t micro, int size)
{
    int64_t most = 0;

    for (int i = 0; i < size; i++) {
        const int64_t n = dm_share_of(batch, micro, i, size).n;

        most = n > most ? n : most;
    }
    return most;
}
