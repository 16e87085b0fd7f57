/* What a data set is recognized by when a run resumes: its count, the names and sizes of its files, its contents, its
 * conditions (condition_reader.h), and the names of its classes. Names are relative to the data's folder, which may
 * move. */
#ifndef DEMIST_CORE_FINGERPRINT_H
#define DEMIST_CORE_FINGERPRINT_H

#include "data/data.h"

/* The texts are what a checkpoint keeps; classes: names joined by '/', "" where there are none. On the heap. */
typedef struct dm_fingerprint { char text[256]; char *classes; } dm_fingerprint;

/* Reads all of a small data set, of a large one examples that lie evenly in it. */
dm_status dm_fingerprint_make(dm_data *d, dm_fingerprint *out, dm_err *err);
void dm_fingerprint_fini(dm_fingerprint *f);

/* false, and what is different, where these data are others than those that `text` and `classes` were made of. */
bool dm_fingerprint_same(const dm_fingerprint *now, const char *text, const char *classes, char *what, size_t n);
/* The first class whose number means something else now, in words; false where none does. */
bool dm_fingerprint_renumbered(const char *now, const char *before, char *what, size_t n);

#endif
