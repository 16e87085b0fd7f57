/* A sweep's cells shared among ranks; see sweep.h. Results are files in the sweep's folder, which all ranks see. */
#include "sweep/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "comm/share.h"

/* What a rank tells of a cell. */
typedef struct outcome { int32_t state, code; char why[300]; } outcome;

/* Some of the cells, each the work of one rank: the ranks take turns. */
typedef struct work { int *cell, n; } work;

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory for the cells of a sweep"); }

/* ---- the same? ---------------------------------------------------------------------------- */

static bool print_sweep(FILE *to, const void *user)
{
    const sweep *s = user;

    fprintf(to, "swept: %s\nresults in: %s\nmetric: %s\nfeatures: %s\ncount: %lld\nraw: %d\nsamples: %lld\n"
            "cells: %d\n", s->base, s->dir, s->metric->name, s->features, (long long)s->request.count, s->request.raw,
            (long long)s->samples, s->n);
    for (int k = 0; k < s->n; k++)
        fprintf(to, "cell %d: %s%s\n", k + 1, sweep_cell_name(s, &s->cell[k]),
                s->cell[k].state != SWEEP_PLANNED ? ", refused" : "");
    return true;
}

/* ---- who does what ------------------------------------------------------------------------ */

/* The place of this rank's i-th in the order of ranks' parts, in which outcomes are put together. */
static int64_t place_of(const dm_comm *c, const work *w, int64_t i)
{
    return dm_share_of(w->n, 0, c->rank, c->size).first + i;
}

/* And whose cell is at a place there. */
static int cell_at(const dm_comm *c, const work *w, int rank, int64_t i) { return w->cell[rank + i * c->size]; }

/* Every rank its part, by `act`; then all know what came of all. */
static dm_status share(sweep *s, const work *w, dm_status (*act)(sweep *s, sweep_cell *c, dm_err *err),
                       void (*told)(const sweep *s, const dm_callbacks *cb, int k), const dm_callbacks *cb, dm_err *err)
{
    dm_comm *c = s->comm;
    outcome *all = calloc((size_t)w->n + 1, sizeof *all);
    dm_status rc = all ? DM_OK : no_memory(err), got;

    if ((rc = dm_comm_agree(c, rc, NULL, err))) {
        free(all);
        return rc;
    }
    for (int64_t i = 0; i < dm_share_of(w->n, 0, c->rank, c->size).n && !rc; i++) {
        const int k = cell_at(c, w, c->rank, i);
        outcome *o = &all[place_of(c, w, i)];

        if (!(rc = act(s, &s->cell[k], err)) && told) {
            told(s, cb, k);
            s->cell[k].told = true;
        }
        *o = (outcome){.state = (int32_t)s->cell[k].state, .code = (int32_t)s->cell[k].code};
        snprintf(o->why, sizeof o->why, "%s", s->cell[k].why);
    }
    /* What is done is known of a stopped sweep too. */
    got = dm_share_collect(c, all, sizeof *all, w->n, rc ? NULL : err);
    for (int r = 0; r < c->size && !got; r++) {
        const dm_share part = dm_share_of(w->n, 0, r, c->size);

        for (int64_t i = 0; i < part.n && r != c->rank; i++) {
            sweep_cell *cell = &s->cell[cell_at(c, w, r, i)];
            const outcome *o = &all[part.first + i];

            cell->state = (sweep_state)o->state;
            cell->code = (dm_status)o->code;
            memcpy(cell->why, o->why, sizeof cell->why);
        }
    }
    free(all);
    return got ? got : dm_comm_agree(c, rc, NULL, err);
}

/* ---- training ----------------------------------------------------------------------------- */

/* A cell of each run; run[k]: that of cell k. */
static dm_status list_runs(sweep *s, const char **run, work *w, dm_err *err)
{
    for (int k = 0; k < s->n; k++) {
        bool there = false;

        if (s->cell[k].state != SWEEP_PLANNED)
            continue;
        if (!(run[k] = sweep_run_folder(s, &s->cell[k])))
            return no_memory(err);
        for (int i = w->n - 1; i >= 0 && !there; i--) /* cells of one run follow each other, as a rule */
            there = !strcmp(run[k], run[w->cell[i]]);
        if (!there)
            w->cell[w->n++] = k;
    }
    return DM_OK;
}

/* What became of a run is what becomes of each of its cells. */
static void spread_failures(sweep *s, const char *const *run, const work *w)
{
    for (int i = 0; i < w->n; i++) {
        const sweep_cell *first = &s->cell[w->cell[i]];

        for (int k = 0; k < s->n && first->state != SWEEP_PLANNED; k++)
            if (run[k] && !strcmp(run[k], run[w->cell[i]])) {
                s->cell[k].state = first->state;
                s->cell[k].code = first->code;
                memmove(s->cell[k].why, first->why, sizeof first->why);
            }
    }
}

static dm_status train_runs(sweep *s, const char **run, work *w, dm_err *err)
{
    dm_status rc = dm_comm_agree(s->comm, list_runs(s, run, w, err), NULL, err);

    if (rc || s->is_run)
        return rc;
    rc = share(s, w, sweep_train_cell, NULL, NULL, err);
    spread_failures(s, run, w);
    return rc;
}

/* ---- measuring ---------------------------------------------------------------------------- */

/* Those that were measured before cost nothing, and come behind the others. */
static dm_status list_cells(sweep *s, work *w, dm_err *err)
{
    int n_kept = 0;
    int *kept = calloc((size_t)s->n + 1, sizeof *kept);
    dm_status rc = kept ? DM_OK : no_memory(err);

    w->n = 0;
    for (int k = 0; k < s->n && !rc; k++) {
        bool yes;

        if (s->cell[k].state != SWEEP_PLANNED || (rc = sweep_has_result(s, &s->cell[k], &yes, err)))
            continue;
        if (yes)
            kept[n_kept++] = k;
        else
            w->cell[w->n++] = k;
    }
    for (int i = 0; i < n_kept; i++)
        w->cell[w->n++] = kept[i];
    free(kept);
    return rc;
}

/* The first rank's list for all: another host may see a file a little later. */
static dm_status agree_on(sweep *s, work *w, dm_err *err)
{
    dm_status rc;

    if ((rc = s->comm->calls->broadcast(s->comm, &w->n, sizeof w->n, 0, err)))
        return rc;
    return s->comm->calls->broadcast(s->comm, w->cell, (size_t)w->n * sizeof *w->cell, 0, err);
}

/* What other ranks measured, for the tables of the first. */
static dm_status read_others(sweep *s, void (*told)(const sweep *s, const dm_callbacks *cb, int k),
                             const dm_callbacks *cb, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int k = 0; k < s->n && !rc; k++) {
        sweep_cell *c = &s->cell[k];

        if (c->told || c->state == SWEEP_PLANNED)
            continue;
        if (c->state == SWEEP_DONE) {
            c->state = SWEEP_PLANNED; /* it is read, or, where its host's files are not seen here, measured */
            if (!(rc = sweep_run_cell(s, c, err)))
                c->kept = false;
        }
        if (!rc)
            told(s, cb, k);
    }
    return rc;
}

dm_status sweep_run_together(sweep *s, void (*told)(const sweep *s, const dm_callbacks *cb, int k),
                             const dm_callbacks *cb, dm_err *err)
{
    const char **run = dm_alloc_n(s->arena, (size_t)s->n + 1, sizeof *run);
    work w = {dm_alloc_n(s->arena, (size_t)s->n + 1, sizeof *w.cell), 0};
    dm_status rc = dm_comm_agree(s->comm, run && w.cell ? DM_OK : no_memory(err), NULL, err);

    if (rc || (rc = dm_comm_same(s->comm, print_sweep, s, err)) || (rc = train_runs(s, run, &w, err)) ||
        (rc = dm_comm_agree(s->comm, list_cells(s, &w, err), NULL, err)) || (rc = agree_on(s, &w, err)))
        return rc;
    rc = share(s, &w, sweep_run_cell, told, cb, err);
    if (s->comm->rank == 0) {
        const dm_status own = read_others(s, told, cb, rc ? NULL : err);

        rc = rc ? rc : own;
    }
    return dm_comm_agree(s->comm, rc, NULL, err);
}
