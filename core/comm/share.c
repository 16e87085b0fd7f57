/* Ranks' parts of a batch; see share.h. */
#include "comm/share.h"

static int64_t less(int64_t a, int64_t b) { return a < b ? a : b; }

/* The first of the units 0..n-1 that is rank's or a later one's. */
static int64_t first_of(int64_t n, int rank, int size)
{
    return n / size * rank + less(n % size, rank);
}

dm_share dm_share_of(int64_t batch, int64_t micro, int rank, int size)
{
    const int64_t whole = micro > 0 ? (batch + micro - 1) / micro : 0, unit = whole >= size ? micro : 1,
                  units = whole >= size ? whole : batch;
    const int64_t first = first_of(units, rank, size) * unit, end = first_of(units, rank + 1, size) * unit;

    return (dm_share){first, less(end, batch) - first};
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
