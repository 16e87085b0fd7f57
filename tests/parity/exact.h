/* A sampler walking even steps in the log-SNR with plugin exact_gaussians for a network: one dimension, two
 * components, and the end of the exact flow beside it. */
#ifndef DEMIST_TESTS_EXACT_H
#define DEMIST_TESTS_EXACT_H

#include "model/net.h"
#include "model/sampling.h"

enum { EXACT_N = 64 };

typedef struct exact_world { dm_device *device; dm_registry *registry; } exact_world;

/* The network's output F at x, f64 inside; n elements of each. */
typedef void (*exact_answer)(const dm_point *p, const dm_affine *a, int64_t n, const float *x, float *F);

typedef struct exact_bench {
    dm_experiment *e;
    dm_noise *noise;
    dm_net *net;
    dm_wset *weights;
    dm_forward *forward;
    dm_sampling *s;
    int64_t n;
    exact_answer answer;           /* in place of the network's; NULL for that */
    float start[EXACT_N];
} exact_bench;

/* The network of an experiment, with data of this shape, for n examples at once; and what it says at a point. */
/* try: where it fails, what there is of it is closed by exact_close too. */
dm_status exact_try(const exact_world *w, exact_bench *b, const char *text, const dm_data_info *data, int64_t n,
                    dm_err *err);
void exact_build(const exact_world *w, exact_bench *b, const char *text, const dm_data_info *data, int64_t n);
void exact_predict(exact_bench *b, const dm_point *p, dm_affine *a, const float *x, float *F);

int exact_open_world(void **state);
int exact_close_world(void **state);
/* sampler: what its section has but steps. Of the mixture, EXACT_N points at once; of another network, n. */
void exact_open(const exact_world *w, exact_bench *b, const char *sampler, int steps);
void exact_open_on(const exact_world *w, exact_bench *b, const char *network, const char *sampler, int steps,
                   int64_t n);
/* The same with what answers for the network, of data with `dim` elements. */
void exact_open_answered(const exact_world *w, exact_bench *b, exact_answer answer, int dim, const char *sampler,
                         int steps, int64_t n);
/* The sampler of what exact_build made. */
dm_status exact_sampling(const exact_world *w, exact_bench *b, dm_err *err);
void exact_close(exact_bench *b);
/* Starts that are spread over the distribution at the noisiest point. */
void exact_from_quantiles(const exact_bench *b, float *x);
/* noise NULL: drawn. */
void exact_run(exact_bench *b, const float *noise, float *x);
/* Where the probability-flow ODE takes this x from the walk's first point to its last. */
double exact_end(const exact_bench *b, double x);

#endif
