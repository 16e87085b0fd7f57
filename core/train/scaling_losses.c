/* Stragglers, failures and checkpoints: a run, simulated; see scaling.h. */
#include "train/scaling.h"

#include <math.h>

#include "base/philox.h"

/* What a simulation may take: where it makes no way, it is no run. */
enum { MOST_STEPS = 1 << 22 };

double dm_interval_young(double save, double mean_to_failure) { return sqrt(2 * save * mean_to_failure); }

double dm_interval_daly(double save, double mean_to_failure)
{
    const double x = save / (2 * mean_to_failure);

    return x < 1 ? dm_interval_young(save, mean_to_failure) * (1 + sqrt(x) / 3 + x / 9) - save : mean_to_failure;
}

typedef struct draws { uint32_t key[2], n; } draws;

/* In (0, 1), of 52 bits: the tail is drawn from what is near an end. */
static double uniform(draws *d)
{
    const uint32_t ctr[4] = {d->n++, 0, 0, 0};
    uint32_t r[4];

    dm_philox(d->key, ctr, r);
    return (((uint64_t)r[0] << 20 | r[1] >> 12) + 0.5) * 0x1p-52;
}

/* How much longer than the others the slowest rank takes: the largest of N draws at once, by its own distribution. */
static double slowest(const dm_losses *l, draws *d)
{
    /* 1 - u^(1/N), the chance that one of them is beyond */
    const double beyond = -expm1(log(uniform(d)) / (double)l->ranks);

    return l->straggle > 0 ? (l->tail - 1) * l->straggle * expm1(-log(beyond) / l->tail) : 0;
}

static double to_failure(const dm_losses *l, draws *d)
{
    return -log(uniform(d)) * l->mean_to_failure / (double)l->ranks;
}

dm_simulated dm_losses_simulate(const dm_losses *l, int64_t save_every)
{
    draws d = {{(uint32_t)l->seed, (uint32_t)(l->seed >> 32)}, 0};
    dm_simulated s = {0};
    double now = 0, failure = to_failure(l, &d), stepped = 0;
    int64_t done = 0, saved = 0, made = 0;

    while (done < l->steps) {
        const double step = l->compute * (1 + slowest(l, &d)) + l->reduce;
        const bool saves = (done + 1) % save_every == 0;

        if (++made > MOST_STEPS + l->steps) {
            now = INFINITY;
            break;
        }
        if (now + step + (saves ? l->save : 0) > failure) {
            now = failure + l->restart;
            failure = now + to_failure(l, &d);
            done = saved;
            s.failures++;
            continue;
        }
        now += step + (saves ? l->save : 0);
        stepped += step;
        done++;
        saved = saves ? done : saved;
    }
    s.seconds = now;
    s.useful = (double)l->steps * (l->compute + l->reduce) / now;
    s.step = made > s.failures ? stepped / (double)(made - s.failures) : 0;
    return s;
}
