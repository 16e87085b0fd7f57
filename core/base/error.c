/* Failing with a reason; see error.h. */
#include "base/error.h"

#include "text/plain_text.h"

#include <errno.h>
#include <string.h>

dm_status dm_error(dm_err *err, dm_status code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return code;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    dm_plain_text(err->msg);
    return err->code = code;
}

static dm_status status_of(int e)
{
    switch (e) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return DM_ENOSPC;
    case ENOENT:
    case ENOTDIR: return DM_ENOENT;
    case ENAMETOOLONG: /* names of nothing that could be there */
    case ELOOP:
    case EISDIR: return DM_EINVAL;
    case ENOMEM: return DM_ENOMEM;
    default: return DM_EIO;
    }
}

dm_status dm_file_error(dm_err *err, const char *verb, const char *path)
{
    enum { SHOWN = 600 };          /* of a name, so that there is room for the reason */
    const int e = errno;
    char why[128];

    if (strerror_r(e, why, sizeof why))
        snprintf(why, sizeof why, "error %d", e);
    return dm_error(err, status_of(e), "unable to %s '%.*s%s': %s", verb, SHOWN, path,
                    strlen(path) > SHOWN ? "..." : "", why);
}

dm_status dm_error_prefix(dm_err *err, const char *fmt, ...)
{
    char old[sizeof err->msg];
    va_list ap;
    size_t n;

    if (!err)
        return DM_EINVAL;
    memcpy(old, err->msg, sizeof old);
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, "%s", old);
    dm_plain_text(err->msg);
    return err->code;
}

static const struct { dm_status code; const char *name; int exit; } statuses[] = {
    {DM_OK, "DM_OK", 0},
    {DM_EINVAL, "DM_EINVAL", 2},
    {DM_ENOENT, "DM_ENOENT", 2},
    {DM_EIO, "DM_EIO", 1},
    {DM_ENOMEM, "DM_ENOMEM", 6},
    {DM_ENOSPC, "DM_ENOSPC", 6},
    {DM_EDEVICE, "DM_EDEVICE", 4},
    {DM_ECORRUPT, "DM_ECORRUPT", 5},
    {DM_EDIVERGED, "DM_EDIVERGED", 7},
    {DM_EABI, "DM_EABI", 3},
    {DM_ECANCELLED, "DM_ECANCELLED", 75},
};

const char *dm_status_name(dm_status code)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == code)
            return statuses[i].name;
    return "unknown status";
}

int dm_status_exit(dm_status code)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == code)
            return statuses[i].exit;
    return 1;
}
