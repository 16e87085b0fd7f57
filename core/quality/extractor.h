/* Features of images: what a layer of a trained network reads, averaged over pixels. */
#ifndef DEMIST_CORE_EXTRACTOR_H
#define DEMIST_CORE_EXTRACTOR_H

#include "session/session.h"

typedef struct dm_extractor dm_extractor;

/* For up to n images at once. layer: a layer's name, "out" for the weight "out.weight"; NULL or "" = the last
 * one. A network that diffuses is asked at its schedule's least noise, with class 0. DM_EINVAL names the nearest
 * layer. classifies: runs also tell the class that a classifier takes an image for. */
dm_status dm_extractor_new(dm_session *s, dm_wset *weights, const char *layer, int64_t n, bool classifies,
                           dm_extractor **out, dm_err *err);
void dm_extractor_free(dm_extractor *x);
int64_t dm_extractor_features(const dm_extractor *x); /* of one image */
const char *dm_extractor_layer(const dm_extractor *x);
/* false also where the network is no classifier of its data's classes. */
bool dm_extractor_classifies(const dm_extractor *x);
/* count images, 1 to n, to features f32[count,features] and, unless NULL, found[count], of an extractor that
 * classifies; waits. */
dm_status dm_extractor_run(dm_extractor *x, const float *images, int64_t count, float *features, int32_t *found,
                           dm_err *err);

/* SHA-256, as 64 hexadecimal digits, of a set's weights: of each in order of its key, the key, a zero byte, and its
 * values as little-endian floats. */
enum { DM_HASH_TEXT = 65 };
dm_status dm_wset_hash(const dm_wset *w, char hash[DM_HASH_TEXT], dm_err *err);

#endif
