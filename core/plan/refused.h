/* Implementations that turned out not to run on a device, each for one op and its extents: their kernels do not build,
 * or demand more than the device gives. They are not chosen again. */
#ifndef DEMIST_CORE_REFUSED_H
#define DEMIST_CORE_REFUSED_H

#include "device/impl.h"

typedef struct dm_refused dm_refused;

/* NULL when memory ran out. */
dm_refused *dm_refused_new(void);
void dm_refused_free(dm_refused *r);
/* False when memory ran out. */
bool dm_refused_add(dm_refused *r, const dm_opnode *n, const dm_impl *impl, const char *why);
/* r may be NULL. */
bool dm_refused_has(const dm_refused *r, const dm_opnode *n, const dm_impl *impl);
/* Whether this op's implementation was refused for any extents. */
bool dm_refused_known(const dm_refused *r, const dm_impl *impl);
/* Why the last of this op was refused, and which; NULL: none was. */
const char *dm_refused_last(const dm_refused *r, const dm_opnode *n, const char **name);

#endif
