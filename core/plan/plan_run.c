/* Running a plan. In its first run each node is launched by itself: a driver may tell only then that a kernel demands
 * more than the device gives (CL_OUT_OF_RESOURCES). Nothing of that launch has run, so the node is launched again by
 * its next implementation. */
#include "plan/plan_parts.h"

dm_status dm_plan_run_node(dm_plan *p, size_t at, dm_err *err)
{
    const dm_plan_step *s = &p->steps[at];

    return s->own ? dm_cmds_run(s->own, err) : dm_cmds_run_range(p->cmds, s->from, s->to, err);
}

/* Commands of its own, by the next implementation. */
static dm_status replace(dm_plan *p, size_t at, dm_err *err)
{
    const dm_wset_mark before = dm_wset_here(p->weights);
    dm_plan_step *s = &p->steps[at];
    dm_status rc;

    dm_cmds_free(s->own);
    dm_buf_free(s->own_scratch);
    s->own = NULL;
    s->own_scratch = NULL;
    p->own = true;
    if ((rc = dm_plan_choose(p, at, err)) || (rc = dm_cmds_new(p->device, &s->own, err)) ||
        (s->scratch_bytes && (rc = dm_buf_new(p->device, s->scratch_bytes, "scratch", &s->own_scratch, err))))
        return rc;
    if ((rc = dm_plan_emit(p, at, true, err)))
        dm_wset_back(p->weights, before);
    return rc ? rc : dm_wset_refresh(p->weights, err);
}

static dm_status run_first(dm_plan *p, size_t at, dm_err *err)
{
    dm_err why = {0};
    dm_status rc = dm_plan_run_node(p, at, &why);

    while (rc && dm_plan_refuse(p, at, &why)) {
        why = (dm_err){0};
        if (!(rc = replace(p, at, &why)))
            rc = dm_plan_run_node(p, at, &why);
        else if (why.code == DM_EDEVICE && !p->steps[at].own)
            break; /* there is no other */
    }
    return rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
}

dm_status dm_plan_run(dm_plan *p, dm_err *err)
{
    dm_status rc = dm_wset_refresh(p->weights, err);

    if (!rc && p->ran && !p->own)
        return dm_cmds_run(p->cmds, err);
    for (size_t i = 0; i < p->graph->n_nodes && !rc; i++)
        if (!p->graph->nodes[i].dead)
            rc = p->ran ? dm_plan_run_node(p, i, err) : run_first(p, i, err);
    p->ran |= !rc;
    return rc;
}
