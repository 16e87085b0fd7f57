/* What an examination found, a line each: "OK    ..." or "FAIL  ... (what to install or do)". */
#ifndef DEMIST_CORE_FINDINGS_H
#define DEMIST_CORE_FINDINGS_H

#include "base/error.h"

#include <stdio.h>

typedef struct dm_findings {
    FILE *out;
    dm_err *err;                   /* the first FAIL's line; untouched where there is none */
    dm_status first;               /* its status */
    void (*building)(void);        /* before a kernel is built; may be NULL */
} dm_findings;

void dm_finding_ok(dm_findings *r, const char *fmt, ...) DM_PRINTF(2, 3);
/* "WARN  ...": something is wrong that need not be in the way. */
void dm_finding_warn(dm_findings *r, const char *fmt, ...) DM_PRINTF(2, 3);
void dm_finding_fail(dm_findings *r, dm_status code, const char *fmt, ...) DM_PRINTF(3, 4);

#endif
