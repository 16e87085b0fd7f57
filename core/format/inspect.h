/* What is in a file of numbers: safetensors, npy and idx, the last two gzip or not. */
#ifndef DEMIST_CORE_INSPECT_H
#define DEMIST_CORE_INSPECT_H

#include "base/error.h"

/* Prints metadata, and of each array its name, type, shape, least, greatest and mean finite value, and
 * how many are NaN and infinite. Names are printed with what could harm a terminal escaped. */
dm_status dm_inspect(const char *path, FILE *to, dm_err *err);

#endif
