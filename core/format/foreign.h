/* Models that other programs wrote. The core knows nothing of their formats: this is what it asks of interop/. */
#ifndef DEMIST_CORE_FOREIGN_H
#define DEMIST_CORE_FOREIGN_H

#include "format/safetensors.h"

/* Does this folder look like such a model? */
dm_status dm_foreign_is(const char *dir, bool *is, dm_err *err);
/* Its weights under demist's names without a prefix, and in the metadata what a checkpoint has there: the
 * experiment that is the same model, and the data's facts. DM_EINVAL names what demist does not know. */
dm_status dm_foreign_open(const char *dir, dm_st **out, dm_err *err);

#endif
