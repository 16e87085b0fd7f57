/* Recording a launch for an op. */
#include "device/impl.h"

dm_status dm_emit_launch(dm_emit *e, dm_cmds *cmds, const char *file, const char *name, const char *options,
                         const dm_range *r, const dm_karg *args, int n)
{
    dm_work work = {0};
    dm_kernel *k;
    dm_status rc;

    if ((rc = dm_kernel_get(e->dev, file, name, options, &k, e->err)))
        return rc;
    if (cmds == e->cmds && !e->counted) { /* the work of the op, once */
        work = e->work;
        e->counted = true;
    }
    return dm_cmds_launch(cmds, k, r, args, n, e->label, work, e->err);
}
