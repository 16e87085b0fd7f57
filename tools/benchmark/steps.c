/* Runs forward passes, training steps or whole samplings of a model as often as its standard input asks, and says
 * how long each took: demist's side of tools/bench. A line in, a line of JSON out:
 *     run N      seconds of each of N repeats, and those that this thread was at work in (host)
 *     out FILE   the last result, f32 (forward, sample)
 *     numbers    mean loss since the last time, the last gradient's norm (train)
 * --profile, as the last argument, writes each kernel's time to standard error at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sample/sample_job.h"
#include "train/trainer.h"
#include "session/session_read.h"
#include "session/session_source.h"

typedef struct bench {
    dm_session s;
    enum { FORWARD, TRAIN, SAMPLE } what;
    int64_t n, elements;           /* examples; elements of all of them */
    float *x, *result;
    double *t, *ones;
    dm_wset *weights;
    dm_forward *forward;
    dm_trainer *trainer;
    double step_wall, step_host;   /* at the first step of a sampling */
    bool profile;
} bench;

static double clock_of(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double wall(void) { return clock_of(CLOCK_MONOTONIC); }
static double host(void) { return clock_of(CLOCK_THREAD_CPUTIME_ID); }

static void print_log(void *user, dm_log_level level, const char *line)
{
    const bench *b = user;

    if (level <= (b->profile ? DM_LOG_INFO : DM_LOG_WARNING))
        fprintf(stderr, "%s\n", line);
}

static dm_status read_all(const char *path, void *to, size_t bytes, dm_err *err)
{
    FILE *f = fopen(path, "rb");
    const bool ok = f && fread(to, 1, bytes, f) == bytes;

    if (f)
        fclose(f);
    return ok ? DM_OK : dm_error(err, DM_EIO, "unable to read %zu bytes of '%s'", bytes, path);
}

static dm_status write_all(const char *path, const void *from, size_t bytes, dm_err *err)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(from, 1, bytes, f) == bytes;

    if (f)
        ok &= !fclose(f);
    return ok ? DM_OK : dm_error(err, DM_EIO, "unable to write '%s'", path);
}

/* ---- one repeat ----------------------------------------------------------------------------------- */

/* Input to the device, network, output back. */
static dm_status forward_once(bench *b, double *at_work, dm_err *err)
{
    const size_t bytes = (size_t)b->elements * sizeof(float);
    dm_status rc;

    if ((rc = dm_buf_write(dm_forward_input(b->forward), 0, bytes, b->x, err)) ||
        (rc = dm_forward_run(b->forward, b->ones, b->t, NULL, err)))
        return rc;
    *at_work = host();
    return dm_buf_read(dm_forward_output(b->forward), 0, bytes, b->result, err);
}

static dm_status train_once(bench *b, double *at_work, dm_err *err)
{
    const dm_status rc = dm_trainer_step(b->trainer, b->x, NULL, err);

    *at_work = host();
    return rc ? rc : dm_device_finish(b->s.device, err);
}

/* Called between steps, and nothing is waited for. */
static bool between_steps(void *user)
{
    bench *b = user;

    if (b->step_wall == 0) {
        b->step_wall = wall();
        b->step_host = host();
    }
    return false;
}

static dm_status sample_once(bench *b, double *at_work, dm_err *err)
{
    const dm_sample_job d = {.count = b->n};

    b->step_wall = 0;
    const dm_status rc = dm_draw_images(&b->s, b->weights, &d, b->result, NULL, NULL, err);

    *at_work = host();
    return rc;
}

static dm_status once(bench *b, double *seconds, double *at_work, dm_err *err)
{
    double began = wall(), working = host(), until = 0;
    dm_status rc;

    switch (b->what) {
    case FORWARD: rc = forward_once(b, &until, err); break;
    case TRAIN: rc = train_once(b, &until, err); break;
    default:
        rc = sample_once(b, &until, err);
        began = b->step_wall;
        working = b->step_host;
    }
    *seconds = wall() - began;
    *at_work = until - working;
    return rc;
}

static dm_status run(bench *b, int n, dm_err *err)
{
    double *seconds = calloc((size_t)n, sizeof *seconds), *at_work = calloc((size_t)n, sizeof *at_work);
    dm_status rc = seconds && at_work ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %d repeats", n);

    for (int i = 0; i < n && !rc; i++)
        rc = once(b, &seconds[i], &at_work[i], err);
    for (int i = 0; i < n && !rc; i++)
        printf("%s%.9f", i ? "," : "{\"seconds\":[", seconds[i]);
    for (int i = 0; i < n && !rc; i++)
        printf("%s%.9f", i ? "," : "],\"host\":[", at_work[i]);
    if (!rc)
        printf("]}\n");
    free(seconds);
    free(at_work);
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static dm_status open_train(bench *b, dm_err *err)
{
    const dm_st *f = b->s.checkpoint;
    dm_status rc;

    if ((rc = dm_trainer_new(&b->s, 0, &b->trainer, err)) ||
        (rc = dm_session_fits(&b->s, dm_net_layout(b->s.model), f, true, err)))
        return rc;
    b->weights = dm_trainer_state(b->trainer)->model;
    if ((rc = dm_checkpoint_load_weights(f, dm_session_prefix(f, true), false, b->weights, err)))
        return rc;
    dm_wset_touch(b->weights);
    return DM_OK;
}

/* The input and, for a forward pass, its times lie in files. */
static dm_status open_input(bench *b, const char *x, const char *t, dm_err *err)
{
    const size_t n = (size_t)b->elements;
    dm_status rc = DM_OK;

    b->x = calloc(n, sizeof *b->x);
    b->result = calloc(n, sizeof *b->result);
    b->t = calloc((size_t)b->n, sizeof *b->t);
    b->ones = calloc((size_t)b->n, sizeof *b->ones);
    if (!b->x || !b->result || !b->t || !b->ones)
        return dm_error(err, DM_ENOMEM, "out of memory for %lld examples", (long long)b->n);
    for (int64_t i = 0; i < b->n; i++)
        b->ones[i] = 1;
    if (b->what != SAMPLE)
        rc = read_all(x, b->x, n * sizeof *b->x, err);
    return rc || b->what != FORWARD ? rc : read_all(t, b->t, (size_t)b->n * sizeof *b->t, err);
}

static void describe(const bench *b, double seconds)
{
    const dm_device_info *d = dm_device_get_info(b->s.device);
    const dm_plan *plan = b->forward ? dm_forward_plan(b->forward) : b->trainer ? dm_trainer_plan(b->trainer) : NULL;
    const dm_plan_stats p = plan ? dm_plan_get_info(plan) : (dm_plan_stats){0};
    uint64_t now = 0, peak = 0;

    dm_device_memory(b->s.device, &now, &peak);
    printf("{\"device\":\"%d:%d\",\"name\":\"%s\",\"platform\":\"%s\",\"driver\":\"%s\",\"opened\":%.6f,\"nodes\":%d,"
           "\"commands\":%d,"
           "\"flops\":%.9g,\"arena_bytes\":%zu,\"device_bytes\":%llu}\n",
           d->platform, d->device, d->name, d->platform_name, d->driver, seconds, (int)p.nodes, (int)p.commands,
           p.flops, p.arena_bytes, (unsigned long long)now);
}

static dm_status open(bench *b, char **v, dm_err *err)
{
    dm_status rc;

    b->elements = b->n * dm_shape_count(&b->s.data.shape);
    if ((rc = open_input(b, v[3], v[4], err)) || (rc = dm_session_open(&b->s, b->profile, err)))
        return rc;
    if (b->what == TRAIN)
        return open_train(b, err);
    if ((rc = dm_session_weights(&b->s, true, &b->weights, err)))
        return rc;
    return b->what == FORWARD ? dm_forward_new(b->s.model, b->weights, b->n, NULL, &b->forward, err) : DM_OK;
}

static dm_status numbers(bench *b, dm_err *err)
{
    dm_train_numbers n;
    const dm_status rc = b->what == TRAIN ? dm_trainer_numbers(b->trainer, &n, err)
                                          : dm_error(err, DM_EINVAL, "numbers are of training");

    if (!rc)
        printf("{\"loss\":%.9g,\"norm\":%.9g}\n", n.loss, n.grad_norm);
    return rc;
}

static dm_status serve(bench *b, dm_err *err)
{
    char line[4096], path[4096];
    dm_status rc = DM_OK;
    int n;

    for (fflush(stdout); !rc && fgets(line, sizeof line, stdin); fflush(stdout)) {
        if (sscanf(line, "run %d", &n) == 1 && n > 0)
            rc = run(b, n, err);
        else if (sscanf(line, "out %4095s", path) == 1 &&
                 !(rc = write_all(path, b->result, (size_t)b->elements * sizeof(float), err)))
            printf("{}\n");
        else if (!strcmp(line, "numbers\n"))
            rc = numbers(b, err);
        else if (!rc)
            rc = dm_error(err, DM_EINVAL, "'%s' is not one of run N, out FILE, numbers", line);
    }
    return rc;
}

int main(int argc, char **argv)
{
    static const char *const whats[] = {"forward", "train", "sample"};
    bench b = {0};
    dm_callbacks cb = {.size = sizeof cb, .user = &b, .log = print_log, .cancelled = between_steps};
    const double began = wall();
    dm_err err = {0};
    dm_status rc;
    int what = 0;

    if (argc > 1 && !strcmp(argv[argc - 1], "--profile")) {
        b.profile = true;
        argc--;
    }
    while (argc > 1 && what < 3 && strcmp(argv[1], whats[what]))
        what++;
    if (argc < 6 || what == 3 || (b.n = atoll(argv[5])) < 1) {
        fprintf(stderr, "usage: bench_steps forward|train|sample MODEL X.f32 T.f64 EXAMPLES [key=value ...] "
                        "[--profile]\n");
        return 2;
    }
    b.what = what == 0 ? FORWARD : what == 1 ? TRAIN : SAMPLE;
    if (!(rc = dm_cpu_hold(getenv("DEMIST_CPU"), &err)) &&
        !(rc = dm_session_read_run(&b.s, argv[2], (const char *const *)argv + 6, argc - 6, &cb, &err)) &&
        !(rc = open(&b, argv, &err))) {
        describe(&b, wall() - began);
        rc = serve(&b, &err);
        if (!rc && b.profile)
            rc = dm_session_log_profile(&b.s, &err);
    }
    if (rc)
        fprintf(stderr, "error: %s\n", err.msg);
    dm_forward_free(b.forward);
    if (b.trainer)
        dm_trainer_free(b.trainer);
    else
        dm_wset_free(b.weights);
    dm_session_fini(&b.s);
    free(b.x);
    free(b.result);
    free(b.t);
    free(b.ones);
    return rc == DM_OK ? 0 : rc == DM_EINVAL ? 2 : 1;
}
