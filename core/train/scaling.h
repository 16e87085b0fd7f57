/* What training takes on many ranks, by a model of compute, bandwidth, latency and message sizes, and what is lost to
 * stragglers and failures, by simulation (docs/distributed.md). Knows no device and no ranks at work. */
#ifndef DEMIST_CORE_SCALING_H
#define DEMIST_CORE_SCALING_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a message: what a reducer sums at once. Parts of the gradients, by which it is told when they are there. */
enum { DM_SCALING_MESSAGE = 4 << 20, DM_SCALING_PARTS = 64 };

typedef struct dm_scaling {
    int64_t batch, micro;          /* examples of a step; most of them at once on a rank */
    bool each;                     /* batch is of each rank, not of all together */
    double per_example, per_step;  /* seconds of a rank: of each of its examples, of a step whatever its examples are */
    int64_t gradients;             /* bytes */
    /* Of equal parts of them, in the order in which the backward pass completes them: the share of a micro-batch's work
     * that is left then, behind which the sum can hide. 0: it comes after all work. */
    double left[DM_SCALING_PARTS];
    int64_t moments;               /* bytes of state that ranks have in parts, twice those of the weights; 0: none */
    int64_t state, activations;    /* bytes of a device: whatever the batch is, of `micro` examples */
    double bandwidth, latency;     /* bytes a second in each direction, seconds of a message */
} dm_scaling;

typedef enum dm_scaling_limit {
    DM_LIMIT_COMPUTE, DM_LIMIT_STEP, DM_LIMIT_BANDWIDTH, DM_LIMIT_LATENCY, DM_LIMIT_BATCH
} dm_scaling_limit;

typedef struct dm_scaling_point {
    int64_t ranks, examples;       /* of the rank with the most; 0: there are fewer than ranks */
    double compute, ring, tree;    /* seconds of a step: of work, of the sum of gradients in either way */
    double hidden;                 /* of the faster way, what passes during the work */
    double seconds, rate;          /* of a step with the faster way, and its examples a second */
    double efficiency;             /* of so many ranks that need not wait for each other */
    int64_t memory;                /* bytes of a device */
    dm_scaling_limit limit;        /* what takes most of the step */
} dm_scaling_point;

dm_scaling_point dm_scaling_at(const dm_scaling *s, int64_t ranks);
const char *dm_scaling_limit_name(dm_scaling_limit l);

/* ---- what is lost ------------------------------------------------------------------------ */

typedef struct dm_losses {
    int64_t ranks, steps;          /* steps: of the run */
    double compute, reduce;        /* seconds of a step */
    /* A rank's work takes 1 + X times as long, P(X > x) = (1 + x / ((tail - 1) straggle))^-tail: a heavy tail of mean
     * `straggle`, tail > 1. */
    double straggle, tail;
    double mean_to_failure;        /* seconds of one rank */
    double save, restart;          /* seconds of a checkpoint, and from a failure to the first step after it */
    uint64_t seed;
} dm_losses;

/* Seconds between checkpoints for the least loss, to first order (Young 1974) and to higher (Daly 2006, eq. 37). */
double dm_interval_young(double save, double mean_to_failure);
double dm_interval_daly(double save, double mean_to_failure);

/* A run with a checkpoint every so many steps, step by step. */
typedef struct dm_simulated {
    double seconds;                /* in all; infinite where it does not come to an end */
    double useful;                 /* the share of them in which steps without stragglers would be done */
    double step;                   /* mean seconds of a step */
    int64_t failures;
} dm_simulated;
dm_simulated dm_losses_simulate(const dm_losses *l, int64_t save_every);

#endif
