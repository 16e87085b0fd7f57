/* How an axis that is longer than a model's images is cut into tiles that overlap, evenly spread. */
#ifndef DEMIST_CORE_TILES_H
#define DEMIST_CORE_TILES_H

#include <stdint.h>

/* So many tiles of an axis, each but the first sharing at least `overlap` with the one before; overlap < tile <= size.
 */
int64_t dm_tiles_count(int64_t size, int64_t tile, int64_t overlap);
/* Where tile i of n begins. */
int64_t dm_tiles_begin(int64_t size, int64_t tile, int64_t n, int64_t i);
/* What is said in a tile counts most in its middle and least at its borders, where another tile knows more. */
double dm_tiles_weight(int64_t tile, int64_t at);

#endif
