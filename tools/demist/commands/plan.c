/* demist plan: what training would take on many ranks, by a model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "text/number.h"
#include "options/command.h"
#include "terminal/signals.h"
#include "train/scaling_measure.h"

typedef struct request {
    int64_t ranks;
    const char *bandwidth, *latency, *speed, *straggle, *tail, *failure, *disk, *restart;
    bool each;
} request;

static const cli_option options[] = {
    CLI_NUMBER(request, ranks, "ranks", "N", 1, 10000, NULL, "largest number of ranks"),
    CLI_TEXT(request, bandwidth, "bandwidth", "GB/s", "of the network, of a rank in each direction"),
    CLI_TEXT(request, latency, "latency", "US", "microseconds from one rank to another"),
    CLI_FLAG(request, each, "each", "train.batch is per rank, so the batch grows with the ranks"),
    CLI_TEXT(request, speed, "speed", "GFLOP/s",
             "that a rank's device reaches in training; without it steps are timed on the device here"),
    CLI_HEADING("what is lost to slow ranks, failures and checkpoints:"),
    CLI_TEXT(request, straggle, "straggle", "X", "how much longer a rank takes for a step, on the mean (0.02)"),
    CLI_TEXT(request, tail, "tail", "A", "how heavy the tail of that is: P(X > x) falls as x^-A (3)"),
    CLI_TEXT(request, failure, "failure", "H", "hours between two failures of one rank (50000)"),
    CLI_TEXT(request, disk, "disk", "GB/s", "at which a checkpoint is written (1)"),
    CLI_TEXT(request, restart, "restart", "S", "seconds from a failure to the next step (300)"), CLI_END};

/* What the texts say, in SI units. */
typedef struct figures { double bandwidth, latency, speed, straggle, tail, failure, disk, restart; } figures;

/* 0, or 2 after a usage error. */
static int read_figures(const cli_command *c, const request *q, figures *f)
{
    const struct { const char *name, *text, *def; double *to, unit, min, max; } rows[] = {
        {"bandwidth", q->bandwidth, NULL, &f->bandwidth, 1e9, 1e-6, 1e6},
        {"latency", q->latency, NULL, &f->latency, 1e-6, 0, 1e9},
        {"speed", q->speed, "0", &f->speed, 1e9, 0, 1e12},
        {"straggle", q->straggle, "0.02", &f->straggle, 1, 0, 100},
        {"tail", q->tail, "3", &f->tail, 1, 1.01, 100},
        {"failure", q->failure, "50000", &f->failure, 3600, 1e-3, 1e12},
        {"disk", q->disk, "1", &f->disk, 1e9, 1e-6, 1e6},
        {"restart", q->restart, "300", &f->restart, 1, 0, 1e9},
    };

    if (!q->ranks || !q->bandwidth || !q->latency)
        return cli_usage(c, "give --ranks, --bandwidth and --latency");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = rows[i].text ? rows[i].text : rows[i].def;
        double x;

        if (dm_number_real(text, &x) != DM_NUMBER_OK || !(x >= rows[i].min && x <= rows[i].max))
            return cli_usage(c, "--%s is '%s'; it must be a number from %g to %g", rows[i].name, dm_show(text).text,
                             rows[i].min, rows[i].max);
        *rows[i].to = x * rows[i].unit;
    }
    return 0;
}

static void say_facts(const dm_scaling_facts *f, const figures *g)
{
    const dm_scaling *m = &f->model;

    printf("%lld parameters; gradients of %.1f MB, in messages of at most %.1f MB; %.4g GFLOP an example\n",
           (long long)f->parameters, (double)m->gradients * 1e-6, DM_SCALING_MESSAGE * 1e-6, f->flops * 1e-9);
    if (g->speed > 0)
        printf("a rank: %.4g s an example, at %.4g GFLOP/s; the work of a step besides is not counted\n",
               m->per_example, g->speed * 1e-9);
    else
        printf("a rank, as measured on %s with batches of %lld and %lld: %.4g s an example and %.4g s a step\n",
               f->device, (long long)f->measured[0], (long long)(f->measured[1] ? f->measured[1] : 1), m->per_example,
               m->per_step);
}

static void print_row(const dm_scaling_point *p)
{
    if (p->limit == DM_LIMIT_BATCH) {
        printf("%6lld %9s more ranks than train.batch has examples; --each lets it grow\n", (long long)p->ranks, "-");
        return;
    }
    printf("%6lld %9lld %11.4g %11.4g %11.4g %11.4g %12.4g %9.1f%% %11.1f  %s\n", (long long)p->ranks,
           (long long)p->examples, p->compute, p->ring, p->tree, p->hidden, p->rate, 100 * p->efficiency,
           (double)p->memory * 1e-6, dm_scaling_limit_name(p->limit));
}

/* 1, 2, 4, ... and N. */
static void print_curve(const dm_scaling *m, int64_t ranks)
{
    printf("%6s %9s %11s %11s %11s %11s %12s %10s %11s  %s\n", "ranks", "examples", "compute s", "ring s", "tree s",
           "hidden s", "examples/s", "efficiency", "device MB", "limited by");
    for (int64_t n = 1; n <= ranks; n = n < ranks && 2 * n > ranks ? ranks : 2 * n) {
        const dm_scaling_point p = dm_scaling_at(m, n);

        print_row(&p);
        if (p.limit == DM_LIMIT_BATCH)
            return;
    }
}

/* Seconds as steps, at least one. */
static int64_t as_steps(double seconds, double step) { return (int64_t)fmax(1, fmin(round(seconds / step), 1e15)); }

static void print_losses(const dm_scaling_facts *f, const figures *g, const dm_scaling_point *p)
{
    static const double parts[] = {0.25, 0.5, 1, 2, 4};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    const dm_losses l = {.ranks = p->ranks, .steps = f->steps, .compute = p->compute,
                         .reduce = p->seconds - p->compute, .straggle = g->straggle, .tail = g->tail,
                         .mean_to_failure = g->failure, .save = (double)f->checkpoint / g->disk, .restart = g->restart};
    const double mean = l.mean_to_failure / (double)l.ranks, daly = dm_interval_daly(l.save, mean);
    int64_t every[PARTS], best = 0;
    dm_simulated of[PARTS];

    printf("\n%lld ranks: one fails every %.4g h; a checkpoint of %.1f MB takes %.4g s\n", (long long)l.ranks,
           mean / 3600, (double)f->checkpoint * 1e-6, l.save);
    printf("seconds between checkpoints: Young %.4g, Daly %.4g\n", dm_interval_young(l.save, mean), daly);
    printf("%14s %10s %10s %12s %14s\n", "train.save_every", "failures", "step s", "all h", "useful");
    for (int i = 0; i < PARTS; i++) {
        every[i] = as_steps(parts[i] * daly, p->seconds);
        of[i] = dm_losses_simulate(&l, every[i]);
        best = of[i].seconds < of[best].seconds ? i : best;
        printf("%16lld %10lld %10.4g %12.4g %13.1f%%\n", (long long)every[i], (long long)of[i].failures, of[i].step,
               of[i].seconds / 3600, 100 * of[i].useful);
    }
    printf("the least time of these: train.save_every=%lld\n", (long long)every[best]);
}

static int run(cli_call *call)
{
    const request *q = call->options;
    cli_terminal *t;
    dm_scaling_facts facts;
    dm_scaling_point p;
    figures f;
    dm_err err = {0};
    dm_status rc;
    int code;

    if ((code = read_figures(call->command, q, &f)))
        return code;
    if (!(t = cli_terminal_new(&call->common)))
        return cli_no_memory();
    cli_catch_signals("stopping after this step", 0);
    rc = dm_scaling_measure(call->argument[0], call->overrides, call->n_overrides, f.speed, cli_callbacks(t), &facts,
                            &err);
    cli_terminal_free(t);
    if (rc)
        return cli_fail(&err);
    facts.model.each = q->each;
    facts.model.bandwidth = f.bandwidth;
    facts.model.latency = f.latency;
    say_facts(&facts, &f);
    print_curve(&facts.model, q->ranks);
    p = dm_scaling_at(&facts.model, q->ranks);
    if (p.limit != DM_LIMIT_BATCH)
        print_losses(&facts, &f, &p);
    return 0;
}

const cli_command cmd_plan = {
    .name = "plan",
    .summary = "what training would take on many ranks, by a model",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "EXP.yaml", ".yaml|.yml", "give an experiment", false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .shown = "ranks|bandwidth|latency",
    .examples = "  demist plan configs/fashion-mnist.yaml --ranks 64 --bandwidth 12.5 --latency 5\n"
                "  demist plan configs/fashion-mnist.yaml --ranks 1024 --bandwidth 25 --latency 2 --each \\\n"
                "    --speed 40000\n",
    .details = "A prediction by a model, not a measurement of ranks: the work of a rank's part of the batch, and the "
               "sum of the gradients as a ring or as a tree, message by message, by bandwidth and latency, of which a "
               "part hides behind the backward pass (docs/distributed.md). Below it a simulation of the run with "
               "ranks that are slow now and then and ranks that fail, for several train.save_every around the one "
               "that Daly's formula gives.\n",
    .run = run};
