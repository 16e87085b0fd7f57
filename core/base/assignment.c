/* Shortest augmenting paths; see assignment.h. Rows are assigned one by one: Dijkstra's algorithm over the reduced
 * costs cost[i][j] - u[i] - v[j], which stay 0 or above, finds the cheapest way to a free column, along which rows
 * move on. */
#include "base/assignment.h"

#include <math.h>
#include <stdlib.h>

typedef struct problem {
    int64_t n;
    const double *cost;
    double *u, *v, *least;         /* duals of rows and columns; the shortest way to each column */
    int32_t *row_of, *before, *open; /* of each column its row, -1 = free, and the row before it on its way */
    bool *done;                    /* the column's shortest way is known */
    const dm_assignment_stop *stop;
    int64_t looked;                /* at costs, since the last question */
} problem;

static bool stops(problem *p, int64_t looked)
{
    static const int64_t often = 1 << 22;

    if (!p->stop || (p->looked += looked) < often)
        return false;
    p->looked = 0;
    return p->stop->wanted(p->stop->user);
}

enum { NOT_FINITE = -1, STOPPED = -2 };

/* The free column that is nearest to row `from`, or why there is none. */
static int64_t nearest_free(problem *p, int64_t from, double *distance)
{
    int64_t row = from, n_open = p->n;
    double reached = 0;

    for (int64_t j = 0; j < p->n; j++) {
        p->least[j] = INFINITY;
        p->done[j] = false;
        p->open[j] = (int32_t)(p->n - 1 - j);
    }
    for (;;) {
        const double *cost = p->cost + row * p->n;
        const double base = reached - p->u[row];
        double lowest = INFINITY;
        int64_t which = -1, column;

        if (stops(p, n_open))
            return STOPPED;
        for (int64_t k = 0; k < n_open; k++) {
            const int32_t j = p->open[k];
            const double d = base + cost[j] - p->v[j];

            if (d < p->least[j]) {
                p->least[j] = d;
                p->before[j] = (int32_t)row;
            }
            if (p->least[j] < lowest || (p->least[j] == lowest && p->row_of[j] < 0)) {
                lowest = p->least[j];
                which = k;
            }
        }
        if (which < 0 || !isfinite(lowest))
            return NOT_FINITE;
        column = p->open[which];
        p->open[which] = p->open[--n_open];
        p->done[column] = true;
        reached = lowest;
        if (p->row_of[column] < 0) {
            *distance = reached;
            return column;
        }
        row = p->row_of[column];
    }
}

static dm_status solve(problem *p, int32_t *column, dm_err *err)
{
    for (int64_t i = 0; i < p->n; i++) {
        double distance = 0;
        int64_t j = nearest_free(p, i, &distance);

        if (j < 0)
            return j == STOPPED ? dm_error(err, DM_ECANCELLED, "stopped within an assignment of %lld", (long long)p->n)
                                : dm_error(err, DM_EINVAL, "a cost of an assignment is not finite");
        p->u[i] += distance;
        for (int64_t k = 0; k < p->n; k++)
            if (p->done[k] && p->row_of[k] >= 0) {
                p->u[p->row_of[k]] += distance - p->least[k];
                p->v[k] -= distance - p->least[k];
            }
        for (int64_t row = -1; row != i;) {
            int64_t next;

            row = p->before[j];
            p->row_of[j] = (int32_t)row;
            next = column[row]; /* the row's column so far, -1 if it is row i */
            column[row] = (int32_t)j;
            j = next;
        }
    }
    return DM_OK;
}

dm_status dm_assignment(int64_t n, const double *cost, const dm_assignment_stop *stop, int32_t *column, dm_err *err)
{
    const size_t count = n > 0 ? (size_t)n : 1;
    problem p = {.n = n,
                 .cost = cost,
                 .stop = stop,
                 .u = calloc(count, sizeof *p.u),
                 .v = calloc(count, sizeof *p.v),
                 .least = calloc(count, sizeof *p.least),
                 .row_of = calloc(count, sizeof *p.row_of),
                 .before = calloc(count, sizeof *p.before),
                 .open = calloc(count, sizeof *p.open),
                 .done = calloc(count, sizeof *p.done)};
    dm_status rc = DM_OK;

    if (!p.u || !p.v || !p.least || !p.row_of || !p.before || !p.open || !p.done)
        rc = dm_error(err, DM_ENOMEM, "out of memory for an assignment of %lld", (long long)n);
    for (int64_t i = 0; i < n && !rc; i++)
        p.row_of[i] = column[i] = -1;
    if (!rc)
        rc = solve(&p, column, err);
    free(p.u);
    free(p.v);
    free(p.least);
    free(p.row_of);
    free(p.before);
    free(p.open);
    free(p.done);
    return rc;
}
