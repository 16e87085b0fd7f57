/* demist compare: several runs in one HTML file. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/output.h"
#include "files/runs.h"
#include "options/command.h"
#include "report/report.h"
#include "run/plot.h"
#include "terminal/signals.h"

typedef struct request { const char *out; bool no_samples, force; int64_t seed, count; } request;

static const cli_option options[] = {
    CLI_STRING(request, out, CLI_T_FILE, "out", 'o', "F.html", ".html", "where (compare.html)"),
    CLI_NUMBER(request, count, "count", "N", 1, 400, "16", "images of each run (points: many more)"),
    CLI_NUMBER(request, seed, "seed", "N", 0, INT64_MAX, "0", "of their noise, the same for all runs"),
    CLI_FLAG(request, no_samples, "no-samples", "draw none: no device is needed"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite F.html if it exists"), CLI_END};

static void write_parts(void *user, FILE *to, const char *scratch)
{
    comparison *c = user;

    for (int i = 0; i < c->n; i++) {
        c->run[i].to = to;
        c->run[i].scratch = scratch;
    }
    html_begin(to, "Comparison of runs");
    compare_heads(c);
    compare_samples(c);
    compare_curves(c);
    compare_figures(c);
    compare_keys(c);
    html_end(to);
}

/* 0, or the exit code. */
static int write_page(comparison *c, const char *out, const cli_call *call)
{
    cli_terminal *t = cli_terminal_new(&call->common);
    dm_err err = {0};
    dm_status rc = DM_OK;
    int code = 0;

    if (!t)
        return cli_no_memory();
    for (int i = 0; i < c->n && !rc; i++) {
        c->run[i].callbacks = cli_callbacks(t);
        rc = report_open(&c->run[i], &err);
    }
    cli_catch_signals("stopping, nothing is written", 0);
    if (!rc)
        rc = report_page(NULL, out, write_parts, c, cli_callbacks(t), &err);
    cli_terminal_free(t);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    if (rc)
        return cli_fail(&err);
    cli_print_path(out);
    for (int i = 0; i < c->n && !code; i++)
        code = c->run[i].failed ? dm_status_exit(c->run[i].failed) : 0;
    return code;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    const char *out = q->out ? q->out : "compare.html";
    dm_arena *a = dm_arena_new();
    comparison c = {.n = call->n_arguments, .seed = q->seed, .count = q->no_samples ? 0 : q->count};
    dm_err err = {0};
    int code;

    if (c.n < 2 || c.n > DM_PLOT_SERIES) {
        dm_arena_free(a);
        return cli_usage(call->command, "%d run%s given; from 2 to %d can be compared", c.n, c.n == 1 ? " is" : "s are",
                         DM_PLOT_SERIES);
    }
    c.run = a ? dm_alloc_n(a, (size_t)c.n, sizeof *c.run) : NULL;
    c.title = a ? runs_titles(a, call->argument, c.n) : NULL;
    if (!c.run || !c.title) {
        dm_arena_free(a);
        return cli_no_memory();
    }
    for (int i = 0; i < c.n; i++)
        c.run[i] = (report){.run = call->argument[i],
                            .folder = {-1, NULL},
                            .overrides = call->overrides,
                            .n_overrides = call->n_overrides};
    code = output_check(&(const output_file){out, ".html", false}, 1, q->force, &err) ? cli_fail(&err)
                                                                                      : write_page(&c, out, call);
    for (int i = 0; i < c.n; i++)
        dm_folder_close(&c.run[i].folder);
    dm_arena_free(a);
    return code;
}

const cli_command cmd_compare = {
    .name = "compare",
    .summary = "compare several runs in one HTML file",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give the runs", true},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist compare runs/linear runs/cosine\n"
                "  demist compare runs/a runs/b sampler.steps=20 --count 36 --out ab.html\n",
    .details = "The file is self-contained: its images are embedded, it has no scripts and loads nothing. It shows "
               "how far each run is, samples of each that begin with the same noise, the training's curves over one "
               "another, the last report of each metric of demist eval, and the keys of their experiments that "
               "differ. key=value: samples of all runs by another sampler, or on another device.\n",
    .run = run};
