/* What an examination found, a line each; see findings.h. */
#include "base/findings.h"

void dm_finding_ok(dm_findings *r, const char *fmt, ...)
{
    va_list ap;

    fputs("OK    ", r->out);
    va_start(ap, fmt);
    vfprintf(r->out, fmt, ap);
    va_end(ap);
    fputc('\n', r->out);
}

void dm_finding_warn(dm_findings *r, const char *fmt, ...)
{
    va_list ap;

    fputs("WARN  ", r->out);
    va_start(ap, fmt);
    vfprintf(r->out, fmt, ap);
    va_end(ap);
    fputc('\n', r->out);
}

void dm_finding_fail(dm_findings *r, dm_status code, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(r->out, "FAIL  %s\n", line);
    if (r->first == DM_OK)
        r->first = dm_error(r->err, code, "%s", line);
}
