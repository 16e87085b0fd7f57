/* Structs of the public header that begin with their size: a caller's may be older and shorter than ours, or newer and
 * longer. Nothing beyond its size is read or written. */
#ifndef DEMIST_CORE_SIZED_H
#define DEMIST_CORE_SIZED_H

#include <demist/plugin.h>

/* Fills *to, a struct of T, from the caller's `from`, with zeros for what that does not have; NULL is all zeros.
 * DM_EINVAL where its size is none, or where it sets what T does not have. */
#define DM_SIZED_READ(T, to, from, err) dm_sized_read(to, sizeof(T), from, #T, err)
dm_status dm_sized_read(void *to, size_t size, const void *from, const char *type, dm_err *err);

/* May results be written to *out, a caller's struct of T that goes as far as `last` at least? Its results are cleared.
 */
#define DM_SIZED_CLEAR(T, out, last, err) dm_sized_clear(out, offsetof(T, last) + sizeof(((T *)NULL)->last), #T, err)
dm_status dm_sized_clear(void *out, size_t least, const char *type, dm_err *err);

/* Writes our *from to the caller's *out, as far as both go. The caller's size stays. */
#define DM_SIZED_WRITE(T, out, from) dm_sized_write(out, from, sizeof(T))
void dm_sized_write(void *out, const void *from, size_t size);

#endif
