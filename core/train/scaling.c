/* The cost model; see scaling.h. */
#include "train/scaling.h"

#include <math.h>


static double larger(double a, double b) { return a > b ? a : b; }

/* Messages that the gradients are sent in. */
static double messages(const dm_scaling *s)
{
    return ceil((double)s->gradients / DM_SCALING_MESSAGE);
}

/* Reduce-scatter and all-gather: each message goes round in N parts, twice, in N - 1 steps. */
static double ring(const dm_scaling *s, double n, double *waits)
{
    *waits = 2 * (n - 1) * messages(s) * s->latency;
    return *waits + 2 * (n - 1) / n * (double)s->gradients / s->bandwidth;
}

/* Up a binary tree and down again, a message following the other. */
static double tree(const dm_scaling *s, double n, double *waits)
{
    const double stages = 2 * (ceil(log2(n)) + messages(s) - 1), each = (double)s->gradients / messages(s);

    *waits = stages * s->latency;
    return *waits + stages * each / s->bandwidth;
}

/* The weights' parts to all, once round, a rank's in pieces of a MiB. */
static double gather(const dm_scaling *s, double n, double *waits)
{
    enum { PIECE = 1 << 20 };
    const double weights = (double)s->moments / 2, wait = (n - 1) * ceil(weights / n / PIECE) * s->latency;

    *waits += wait;
    return wait + (n - 1) / n * weights / s->bandwidth;
}

/* What of a sum passes during the rank's last micro-batch: parts are summed one after the other, each once it is there.
 * The sum ends as late as one of them and all that come after it make it. */
static double hidden(const dm_scaling *s, double work, double sum)
{
    double seen = 0; /* seconds after the work */

    for (int i = 0; i < DM_SCALING_PARTS; i++)
        seen = larger(seen, sum * (DM_SCALING_PARTS - i) / DM_SCALING_PARTS - work * s->left[i]);
    return sum - seen;
}

static dm_scaling_limit limit_of(const dm_scaling *s, const dm_scaling_point *p, double sum, double waits)
{
    const double seen = sum > 0 ? 1 - p->hidden / sum : 0;
    const double work = p->compute - s->per_step, sends = (sum - waits) * seen,
                 most = larger(larger(work, s->per_step), larger(sends, waits * seen));

    return most <= work          ? DM_LIMIT_COMPUTE
           : most <= s->per_step ? DM_LIMIT_STEP
           : most <= sends       ? DM_LIMIT_BANDWIDTH
                                 : DM_LIMIT_LATENCY;
}

dm_scaling_point dm_scaling_at(const dm_scaling *s, int64_t ranks)
{
    dm_scaling_point p = {.ranks = ranks, .limit = DM_LIMIT_BATCH};
    const double all = (double)s->batch * (s->each ? (double)ranks : 1);
    double ring_waits = 0, tree_waits = 0, alone, last;
    int64_t at_once;

    if (!s->each && ranks > s->batch)
        return p;
    p.examples = s->each ? s->batch : (s->batch + ranks - 1) / ranks;
    p.compute = (double)p.examples * s->per_example + s->per_step;
    last = (double)((p.examples - 1) % s->micro + 1) * s->per_example;
    if (ranks > 1 && s->gradients) {
        p.ring = ring(s, (double)ranks, &ring_waits);
        p.tree = tree(s, (double)ranks, &tree_waits);
        p.hidden = hidden(s, last, p.ring < p.tree ? p.ring : p.tree);
        p.ring += gather(s, (double)ranks, &ring_waits);
        p.tree += gather(s, (double)ranks, &tree_waits);
    }
    p.seconds = p.compute + (p.ring < p.tree ? p.ring : p.tree) - p.hidden;
    p.rate = all / p.seconds;
    alone = (double)s->batch * s->per_example + s->per_step;
    p.efficiency = p.rate / ((double)ranks * (double)s->batch / alone);
    at_once = p.examples < s->micro ? p.examples : s->micro;
    p.memory = s->state - s->moments + s->moments / ranks +
               (int64_t)((double)s->activations * (double)at_once / (double)s->micro);
    p.limit = p.ring < p.tree ? limit_of(s, &p, p.ring, ring_waits) : limit_of(s, &p, p.tree, tree_waits);
    return p;
}

const char *dm_scaling_limit_name(dm_scaling_limit l)
{
    static const char *const names[] = {"compute", "work of a step", "bandwidth", "latency", "batch"};

    return names[l];
}
