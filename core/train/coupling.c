/* Noise and examples that belong together; see coupling.h. */
#include "train/coupling.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/philox.h"
#include "device/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dm_coupling {
    int32_t kind;
    int64_t batch, example;
    uint64_t seed;
    bool skipped;
    float *drawn, *noise;          /* f32[batch,example], in the order of drawing and of the examples */
    double *cost, *square;         /* f64[batch,batch]; f64[batch], of each noise */
    int32_t *of;                   /* which noise each example has */
};

dm_status dm_coupling_new(int32_t kind, int64_t batch, int64_t example, uint64_t seed, dm_coupling **out, dm_err *err)
{
    dm_coupling *c = calloc(1, sizeof *c);

    if (c) {
        *c = (dm_coupling){.kind = kind,
                           .batch = batch,
                           .example = example,
                           .seed = seed,
                           .drawn = dm_array(batch, example, sizeof *c->drawn),
                           .noise = dm_array(batch, example, sizeof *c->noise),
                           .cost = dm_array(batch, batch, sizeof *c->cost),
                           .square = dm_array(batch, 1, sizeof *c->square),
                           .of = dm_array(batch, 1, sizeof *c->of)};
        if (c->drawn && c->noise && c->cost && c->square && c->of) {
            *out = c;
            return DM_OK;
        }
    }
    dm_coupling_free(c);
    return dm_error(err, DM_ENOMEM, "out of memory for the coupling of a batch of %lld", (long long)batch);
}

void dm_coupling_free(dm_coupling *c)
{
    if (!c)
        return;
    free(c->drawn);
    free(c->noise);
    free(c->cost);
    free(c->square);
    free(c->of);
    free(c);
}

void dm_coupling_draw(uint64_t seed, int64_t step, int64_t batch, int64_t example, float *noise)
{
    static const double tau = 6.283185307179586;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    for (int64_t i = 0; i < batch; i++)
        for (int64_t k = 0; k < example; k += 4) {
            const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_NOISE << 24, (uint32_t)step, (uint32_t)(k / 4), (uint32_t)i};
            uint32_t r[4];

            dm_philox(key, ctr, r);
            for (int64_t e = 0; e < 4 && k + e < example; e++) {
                const double radius = sqrt(-2 * log(dm_uniform(r[e & 2]))), angle = tau * dm_uniform(r[(e & 2) + 1]);

                noise[i * example + k + e] = (float)(radius * (e & 1 ? sin(angle) : cos(angle)));
            }
        }
}

/* In a fixed order: the same on each run. */
static double product(const float *a, const float *b, int64_t n)
{
    enum { LANES = 16, BLOCK = 512 };
    double sum = 0;

    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t to = from + BLOCK < n ? from + BLOCK : n;
        float part[LANES] = {0};
        int64_t i = from;

        for (; i + LANES <= to; i += LANES)
            for (int k = 0; k < LANES; k++)
                part[k] += a[i + k] * b[i + k];
        for (int k = 0; i < to; i++, k++)
            part[k] += a[i] * b[i];
        for (int k = 0; k < LANES; k++)
            sum += (double)part[k];
    }
    return sum;
}

/* Immiscible noise has the distance for its cost (Li et al. 2024), optimal transport its square. */
static dm_status find_costs(dm_coupling *c, const float *x0, const dm_assignment_stop *stop, dm_err *err)
{
    for (int64_t j = 0; j < c->batch; j++)
        c->square[j] = product(c->drawn + j * c->example, c->drawn + j * c->example, c->example);
    for (int64_t i = 0; i < c->batch; i++) {
        const float *x = x0 + i * c->example;
        const double square = product(x, x, c->example);

        if (stop && stop->wanted(stop->user))
            return dm_error(err, DM_ECANCELLED, "stopped within the distances of a batch");
        for (int64_t j = 0; j < c->batch; j++) {
            const double d = fmax(0, square + c->square[j] - 2 * product(x, c->drawn + j * c->example, c->example));

            c->cost[i * c->batch + j] = c->kind == DM_COUPLING_OT ? d : sqrt(d);
        }
    }
    return DM_OK;
}

void dm_coupling_skip(dm_coupling *c) { c->skipped = true; }

dm_status dm_coupling_time(const dm_coupling *whole, double *seconds, dm_err *err)
{
    enum { PART = 256 };
    const int64_t n = whole->batch < PART ? whole->batch : PART;
    const double times = (double)whole->batch / (double)n;
    dm_coupling *c;
    float *x0;
    double began, costed;
    dm_status rc;

    if ((rc = dm_coupling_new(whole->kind, n, whole->example, whole->seed, &c, err)))
        return rc;
    if (!(x0 = dm_array(n, c->example, sizeof *x0))) {
        rc = dm_error(err, DM_ENOMEM, "out of memory for the coupling of a batch of %lld", (long long)n);
    } else {
        dm_coupling_draw(c->seed, 1, n, c->example, x0);
        began = dm_seconds();
        dm_coupling_draw(c->seed, 0, n, c->example, c->drawn);
        (void)find_costs(c, x0, NULL, NULL); /* fails only where it is stopped */
        costed = dm_seconds();
        rc = dm_assignment(n, c->cost, NULL, c->of, err);
        *seconds = (costed - began) * times * times + (dm_seconds() - costed) * times * times * times;
    }
    free(x0);
    dm_coupling_free(c);
    return rc;
}

dm_status dm_coupling_noise(dm_coupling *c, int64_t step, const float *x0, const dm_assignment_stop *stop,
                            const float **noise, dm_err *err)
{
    dm_status rc;

    dm_coupling_draw(c->seed, step, c->batch, c->example, c->drawn);
    *noise = c->drawn;
    if (c->skipped)
        return DM_OK;
    if ((rc = find_costs(c, x0, stop, err)) || (rc = dm_assignment(c->batch, c->cost, stop, c->of, err)))
        return rc;
    for (int64_t i = 0; i < c->batch; i++)
        memcpy(c->noise + i * c->example, c->drawn + c->of[i] * c->example, (size_t)c->example * sizeof *c->noise);
    *noise = c->noise;
    return DM_OK;
}
