/* Running a plan. In its first run each node is launched by itself: a driver may tell only then that a kernel demands
 * more than the device gives (CL_OUT_OF_RESOURCES). Nothing of that launch has run, so the node is launched again by
 * its next implementation. */
#include "graph/op_def.h"
#include "plan/plan_parts.h"

#include <stdlib.h>

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

/* The place in the commands that this one watches. */
static int place_of(const dm_plan *p, const dm_plan_watch *w, int i)
{
    return w->after[i] < 0 ? 0 : p->steps[w->after[i]].to;
}

static dm_status split(dm_plan *p, const dm_plan_watch *w, dm_err *err)
{
    int *at = malloc(((size_t)w->n + 1) * sizeof *at);
    dm_status rc;

    if (!at)
        return dm_error(err, DM_ENOMEM, "out of memory for a plan");
    for (int i = 0; i < w->n; i++)
        at[i] = place_of(p, w, i);
    rc = dm_cmds_split(p->cmds, at, w->n, err);
    free(at);
    p->split_for = rc ? NULL : w;
    return rc;
}

static dm_status run_whole(dm_plan *p, const dm_plan_watch *w, dm_err *err)
{
    int at = 0;
    dm_status rc = w && p->split_for != w ? split(p, w, err) : DM_OK;

    for (int i = 0; w && i < w->n && !rc; i++) {
        const int to = place_of(p, w, i);

        if (to > at)
            rc = dm_cmds_run_between(p->cmds, at, to, err);
        at = to > at ? to : at;
        if (!rc)
            rc = w->reached(w->user, i, err);
    }
    return rc ? rc : dm_cmds_run_between(p->cmds, at, dm_cmds_count(p->cmds), err);
}

static dm_status run_nodes(dm_plan *p, const dm_plan_watch *w, dm_err *err)
{
    const int32_t n = (int32_t)p->graph->n_nodes;
    int told = 0;
    dm_status rc = DM_OK;

    for (int32_t i = -1; i < n && !rc; i++) {
        if (i >= 0 && !p->graph->nodes[i].dead)
            rc = p->ran ? dm_plan_run_node(p, (size_t)i, err) : run_first(p, (size_t)i, err);
        for (; w && told < w->n && w->after[told] <= i && !rc; told++)
            rc = w->reached(w->user, told, err);
    }
    return rc;
}

dm_status dm_plan_run_watched(dm_plan *p, const dm_plan_watch *w, dm_err *err)
{
    dm_status rc = dm_wset_refresh(p->weights, err);

    if (!rc)
        rc = p->ran && !p->own ? run_whole(p, w, err) : run_nodes(p, w, err);
    p->ran |= !rc;
    return rc;
}

dm_status dm_plan_run(dm_plan *p, dm_err *err) { return dm_plan_run_watched(p, NULL, err); }

void dm_plan_last_writes(const dm_plan *p, size_t each, int32_t *after, size_t n)
{
    const dm_graph_core *g = p->graph;
    const dm_layout *l = dm_wset_layout(p->weights);

    for (size_t i = 0; i < n; i++)
        after[i] = -1;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].op.n_out && !g->nodes[i].dead; k++) {
            const dm_val out = g->nodes[i].out[k];
            const dm_value *v = out < 0 ? NULL : &g->values[dm_graph_root(g, out)];
            const int32_t weight =
                v && v->source == DM_VAL_GRAD ? dm_layout_find(l, g->weights[v->weight].key) : -1;
            const size_t from = weight < 0 ? 0 : l->offset[weight],
                         to = weight < 0 ? 0 : from + (size_t)dm_layout_count(l, weight);

            for (size_t at = from / each; at * each < to && at < n; at++)
                after[at] = (int32_t)i;
        }
}

double dm_plan_left(const dm_plan *p, int32_t after)
{
    const dm_graph_core *g = p->graph;
    double left = 0;

    for (size_t i = (size_t)(after + 1); i < g->n_nodes; i++)
        left += g->nodes[i].dead ? 0 : dm_op_flops(&g->nodes[i].op);
    return p->stats.flops > 0 ? left / p->stats.flops : 0;
}
