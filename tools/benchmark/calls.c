/* What a call on an open model costs beside the steps that it makes:
 *     calls RUN COUNT [key=value ...]
 * COUNT images in 1 step of DDIM by a call that is not the first, against a further step within a call: a tenth of the
 * difference of calls of 11 steps and of 1. The least of many calls in turn, 40
 * of each or more, for five seconds at least, since other work can only make them slower. */
#include <demist/demist.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS = 40, SECONDS = 5, MORE = 10, MOST_OVERRIDES = 32 };

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dm_status open(const char *run, const char *steps, char **more, int n, dm_model **m, dm_err *err)
{
    const char *overrides[MOST_OVERRIDES] = {"sampler.use=ddim", steps};
    const dm_model_options o = {.size = sizeof o, .overrides = overrides, .n_overrides = n + 2};

    memcpy(overrides + 2, more, (size_t)n * sizeof *more);
    return dm_model_open(run, &o, m, err);
}

static dm_status call(dm_model *m, int64_t count, double *seconds, dm_err *err)
{
    const dm_sample_options o = {.size = sizeof o, .count = count};
    dm_images im = {.size = sizeof im};
    const double began = now();
    const dm_status rc = dm_model_sample(m, &o, &im, err);

    *seconds = fmin(*seconds, now() - began);
    dm_images_free(&im);
    return rc;
}

int main(int argc, char **argv)
{
    const int64_t count = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;
    double first = INFINITY, one = INFINITY, many = INFINITY, opened = now(), began;
    dm_model *a = NULL, *b = NULL;
    dm_err err = {DM_EINVAL, "usage: calls RUN COUNT [key=value ...]"};
    dm_status rc = argc < 3 || argc - 3 > MOST_OVERRIDES - 2 ? DM_EINVAL : DM_OK;

    if (!rc && !(rc = open(argv[1], "sampler.steps=1", argv + 3, argc - 3, &a, &err))) {
        opened = now() - opened;
        if (!(rc = call(a, count, &first, &err)) &&
            !(rc = open(argv[1], "sampler.steps=11", argv + 3, argc - 3, &b, &err)))
            rc = call(b, count, &(double){INFINITY}, &err);
    }
    began = now();
    for (int i = 0; !rc && (i < CALLS || now() - began < SECONDS); i++)
        if (!(rc = call(a, count, &one, &err)))
            rc = call(b, count, &many, &err);
    if (rc)
        fprintf(stderr, "%s\n", err.msg);
    else
        printf("open %.4g ms, first call %.4g ms; 1 step by a later call %.4g ms, a further step %.4g ms: %.3f times\n",
               opened * 1e3, first * 1e3, one * 1e3, (many - one) / MORE * 1e3, one / ((many - one) / MORE));
    dm_model_close(a);
    dm_model_close(b);
    return rc != DM_OK;
}
