/* A page that is on the disk as a whole or not at all; see report.h. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "report/report.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "run/run_folder.h"

dm_status report_page(const dm_folder *in, const char *name, report_write *write, void *user, const dm_callbacks *cb,
                      dm_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char folder[4096], *page = NULL;
    size_t n = 0;
    dm_status rc;
    FILE *to;

    snprintf(folder, sizeof folder, "%.4000s/demist-report-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return dm_file_error(err, "create folder", folder);
    if (!(to = open_memstream(&page, &n))) {
        rmdir(folder);
        return dm_error(err, DM_ENOMEM, "out of memory for the report");
    }
    write(user, to, folder);
    rmdir(folder);
    rc = fclose(to) ? dm_error(err, DM_ENOMEM, "out of memory for the report") : DM_OK;
    if (!rc && cb && cb->cancelled && cb->cancelled(cb->user))
        rc = dm_error(err, DM_ECANCELLED, "stopped");
    if (!rc)
        rc = dm_file_write_in(in, name, page, n, err);
    free(page);
    return rc;
}

dm_status report_open(report *r, dm_err *err)
{
    bool run;
    dm_status rc = dm_folder_open(&r->folder, r->run, err);

    if (rc || (rc = dm_folder_has(&r->folder, DM_RUN_CONFIG, &run, err)) || run)
        return rc;
    return dm_error(err, DM_EINVAL, "'%s' is not a run folder: it has no " DM_RUN_CONFIG, r->run);
}
