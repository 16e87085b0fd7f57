/* Resizing planes of pixels with a triangle filter that is widened when it shrinks, so that nothing
 * aliases and no value leaves the range of those it is made of (Pillow's BILINEAR). */
#ifndef DEMIST_CORE_RESIZE_H
#define DEMIST_CORE_RESIZE_H

#include "base/error.h"

/* from[h,w], rows `stride` apart, to to[oh,ow]. */
dm_status dm_resize(const float *from, int64_t h, int64_t w, int64_t stride, float *to, int64_t oh, int64_t ow,
                    dm_err *err);

#endif
