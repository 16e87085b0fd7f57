/* Tiles of an axis; see tiles.h. */
#include "sample/tiles.h"

int64_t dm_tiles_count(int64_t size, int64_t tile, int64_t overlap)
{
    const int64_t stride = tile - overlap;

    return 1 + (size - tile + stride - 1) / stride;
}

int64_t dm_tiles_begin(int64_t size, int64_t tile, int64_t n, int64_t i)
{
    return n > 1 ? ((size - tile) * i + (n - 1) / 2) / (n - 1) : 0;
}

double dm_tiles_weight(int64_t tile, int64_t at)
{
    const int64_t right = tile - 1 - at;

    return (double)(at < right ? at : right) + 1;
}
