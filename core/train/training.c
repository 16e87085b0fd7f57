/* Learning rate, averages' rates, times; see training.h. */
#include "train/training.h"

#include "device/ops.h"
#include "base/philox.h"

#include <math.h>

double dm_train_lr(const dm_set_train *t, int64_t s)
{
    const int64_t left = t->steps - t->warmup;
    double u;

    if (s < t->warmup)
        return t->lr * (double)(s + 1) / (double)t->warmup;
    u = left > 1 ? (double)(s - t->warmup) / (double)(left - 1) : 0;
    if (t->decay == DM_DECAY_LINEAR)
        return t->lr + (t->min_lr - t->lr) * u;
    if (t->decay == DM_DECAY_COSINE)
        return t->min_lr + (t->lr - t->min_lr) * 0.5 * (1 + cos(3.14159265358979323846 * u));
    return t->lr;
}

double dm_train_ema_rate(const dm_set_train *t, int32_t i, int64_t s)
{
    const double warm = (1 + (double)s) / (10 + (double)s);

    return t->ema_warmup && warm < t->ema.v[i] ? warm : t->ema.v[i];
}

double dm_train_uniform(uint64_t seed, int32_t draw, int64_t s, int64_t i, int64_t batch)
{
    const double u = dm_draw_uniform(seed, DM_PURPOSE_TIME, (uint32_t)s, (uint32_t)i);

    return draw == DM_DRAW_STRATIFIED ? ((double)i + u) / (double)batch : u;
}

bool dm_train_drops(uint64_t seed, double share, int64_t s, int64_t i, int32_t k)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                   ctr[4] = {(uint32_t)DM_PURPOSE_LABEL << 24 | (uint32_t)k, (uint32_t)s, 0, (uint32_t)i};
    uint32_t x[4];

    dm_philox(key, ctr, x);
    return dm_uniform(x[0]) < share;
}
