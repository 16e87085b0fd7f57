/* Failing with a reason. Every function that can fail returns dm_status and takes dm_err *err
 * last; err is untouched on success. The failing line writes the message, callers prefix context. */
#ifndef DEMIST_CORE_ERROR_H
#define DEMIST_CORE_ERROR_H

#include <demist/plugin.h>

/* Records why and returns the code: return dm_error(err, DM_EIO, "unable to read '%s'", path).
 * Lower case, error first, subject quoted, the value seen and what is allowed. err may be NULL. */
dm_status dm_error(dm_err *err, dm_status code, const char *fmt, ...) DM_PRINTF(3, 4);

/* "unable to VERB 'path': reason" with the status that fits errno. */
dm_status dm_file_error(dm_err *err, const char *verb, const char *path);

/* Puts context before the message that is there: "plugin 'ddim': ...". Returns err's code. */
dm_status dm_error_prefix(dm_err *err, const char *fmt, ...) DM_PRINTF(2, 3);

/* "DM_EINVAL" and so on. */
const char *dm_status_name(dm_status code);

/* What the program exits with for a status (docs/design.md, errors). */
int dm_status_exit(dm_status code);

#endif
