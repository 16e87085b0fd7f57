/* The best checkpoint of a run; see best.h. */
#include "files/best.h"

#include "base/folder.h"
#include "run/run_folder.h"

dm_status best_checkpoint(const char *run, char **path, dm_err *err)
{
    dm_path_kind of_run, of_best;
    dm_status rc;

    if (!(*path = dm_run_path(run, DM_RUN_BEST)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    if ((rc = dm_path_look(run, &of_run, err)) || (rc = dm_path_look(*path, &of_best, err)))
        return rc;
    if (of_run == DM_PATH_NOTHING || of_best != DM_PATH_NOTHING)
        return DM_OK; /* opening says what else is wrong */
    return dm_error(err, DM_EINVAL,
                    "--best: '%s' has no " DM_RUN_BEST "; a run has one where it is trained with train.validate_every",
                    run);
}
