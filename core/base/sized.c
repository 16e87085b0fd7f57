/* Structs that begin with their size; see sized.h. */
#include "base/sized.h"

#include "base/error.h"

#include <string.h>

/* No struct is as long: what was never set may say anything. */
enum { MOST = 1 << 16 };

static dm_status size_of(const void *p, size_t least, const char *type, uint32_t *size, dm_err *err)
{
    memcpy(size, p, sizeof *size);
    if (*size >= least && *size <= MOST)
        return DM_OK;
    return dm_error(err, DM_EINVAL, "the size of %s is %u; set it with sizeof", type, (unsigned)*size);
}

dm_status dm_sized_read(void *to, size_t size, const void *from, const char *type, dm_err *err)
{
    const uint32_t ours = (uint32_t)size;
    uint32_t theirs;
    dm_status rc;

    memset(to, 0, size);
    if (from) {
        if ((rc = size_of(from, sizeof theirs, type, &theirs, err)))
            return rc;
        for (size_t i = size; i < theirs; i++)
            if (((const unsigned char *)from)[i])
                return dm_error(err, DM_EINVAL,
                                "%s has %u bytes and sets fields that this version of demist does not know, which has "
                                "%u bytes; use a newer demist",
                                type, (unsigned)theirs, (unsigned)size);
        memcpy(to, from, theirs < size ? theirs : size);
    }
    memcpy(to, &ours, sizeof ours);
    return DM_OK;
}

dm_status dm_sized_clear(void *out, size_t least, const char *type, dm_err *err)
{
    uint32_t theirs;
    dm_status rc;

    if (!out)
        return dm_error(err, DM_EINVAL, "%s is NULL; pass one to write the result to", type);
    if (!(rc = size_of(out, least, type, &theirs, err)))
        memset((char *)out + sizeof theirs, 0, theirs - sizeof theirs);
    return rc;
}

void dm_sized_write(void *out, const void *from, size_t size)
{
    uint32_t theirs;

    memcpy(&theirs, out, sizeof theirs);
    memcpy((char *)out + sizeof theirs, (const char *)from + sizeof theirs,
           (theirs < size ? theirs : size) - sizeof theirs);
}
