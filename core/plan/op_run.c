/* One implementation of an op by itself; see op_run.h. */
#include "plan/op_run.h"

#include "graph/op_def.h"

#include <string.h>

static dm_status packed(dm_emit *e, int in, const char *key, size_t bytes, dm_buf **out, dm_cmds **refresh)
{
    dm_op_run *r = e->packed_user;
    dm_status rc;

    if (r->n_packed == DM_OP_RUN_PACKED)
        return dm_error(e->err, DM_EINVAL, "%s has more than %d packed weights", e->label, DM_OP_RUN_PACKED);
    if ((rc = dm_buf_new(r->d, bytes, key, out, e->err)))
        return rc;
    r->packed[r->n_packed++] = *out;
    *refresh = r->no_weights >> in & 1 ? r->cmds : r->refresh;
    return DM_OK;
}

dm_status dm_op_run_record(dm_op_run *r, const dm_impl *impl, dm_err *err)
{
    const size_t scratch = impl->scratch ? impl->scratch(dm_device_get_info(r->d), r->node) : 0;
    dm_emit e = {.dev = r->d, .node = r->node, .label = dm_op_name(r->node->kind),
                 .work = {dm_op_flops(r->node), dm_op_bytes(r->node)}, .err = err, .packed = packed, .packed_user = r};
    dm_status rc;

    if ((rc = dm_cmds_new(r->d, &r->cmds, err)) || (rc = dm_cmds_new(r->d, &r->refresh, err)) ||
        (scratch && (rc = dm_buf_new(r->d, scratch, "scratch", &r->scratch, err))))
        return rc;
    memcpy(e.in, r->in, sizeof e.in);
    memcpy(e.out, r->out, sizeof e.out);
    e.scratch = r->scratch;
    e.cmds = r->cmds;
    return impl->emit(&e);
}

dm_status dm_op_run_once(dm_op_run *r, dm_err *err)
{
    const dm_status rc = dm_cmds_run(r->refresh, err);

    return rc ? rc : dm_cmds_run(r->cmds, err);
}

void dm_op_run_forget(dm_op_run *r)
{
    dm_cmds_free(r->cmds);
    dm_cmds_free(r->refresh);
    dm_buf_free(r->scratch);
    while (r->n_packed > 0)
        dm_buf_free(r->packed[--r->n_packed]);
    r->cmds = r->refresh = NULL;
    r->scratch = NULL;
}
