/* One implementation of an op run by itself, outside any plan: for measuring it, and for tests and tools that compare
 * it. Operands are the caller's; scratch, packed weights and command lists are made and released here. */
#ifndef DEMIST_CORE_OP_RUN_H
#define DEMIST_CORE_OP_RUN_H

#include "device/impl.h"

enum { DM_OP_RUN_PACKED = 8 };

typedef struct dm_op_run {
    dm_device *d;
    const dm_opnode *node;
    dm_buf *in[DM_MAX_IN], *out[DM_MAX_OUT]; /* NULL where absent */
    uint32_t no_weights;           /* bit i: input i is no weight, so that its packed weights are made in each run */
    dm_buf *scratch, *packed[DM_OP_RUN_PACKED];
    int n_packed;
    dm_cmds *cmds, *refresh;       /* the op; what makes its packed weights of weights */
} dm_op_run;

/* Records both lists; what was made is released by dm_op_run_forget, also after a failure. */
dm_status dm_op_run_record(dm_op_run *r, const dm_impl *impl, dm_err *err);
/* Makes the packed weights, then runs the op once. */
dm_status dm_op_run_once(dm_op_run *r, dm_err *err);
/* All but the operands, so that another implementation can be recorded. */
void dm_op_run_forget(dm_op_run *r);

#endif
