/* The best checkpoint of a run; see best.h. */
#include "files/best.h"

#include <unistd.h>

#include "base/error.h"
#include "run/run_folder.h"

dm_status best_checkpoint(const char *run, char **path, dm_err *err)
{
    if (!(*path = dm_run_path(run, DM_RUN_BEST)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (access(run, F_OK) || !access(*path, F_OK))
        return DM_OK; /* opening says what else is wrong */
    return dm_error(err, DM_EINVAL,
                    "--best: '%s' has no " DM_RUN_BEST "; a run has one where it is trained with train.validate_every",
                    run);
}
