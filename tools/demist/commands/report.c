/* demist report: the command line, and the order of the parts; see report.h. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/output.h"
#include "options/command.h"
#include "run/run_folder.h"
#include "terminal/signals.h"

typedef struct request { const char *out; bool no_samples, force; } request;

static const cli_option options[] = {
    CLI_STRING(request, out, CLI_T_FILE, "out", 'o', "F.html", ".html",
               "where (RUN/report.html, which is written over)"),
    CLI_FLAG(request, no_samples, "no-samples", "draw none: no device is needed"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite F.html if it exists"), CLI_END};

static void write_parts(void *user, FILE *to, const char *scratch)
{
    report *r = user;
    const char *slash;
    char name[300];
    size_t n = strlen(r->run);

    r->to = to;
    r->scratch = scratch;
    while (n > 1 && r->run[n - 1] == '/')
        n--;
    snprintf(name, sizeof name, "%.*s", (int)n, r->run);
    slash = strrchr(name, '/');
    html_begin(r->to, slash && slash[1] ? slash + 1 : name);
    report_head(r);
    report_samples(r);
    report_curves(r);
    report_quality(r);
    report_likelihood(r);
    report_loss(r);
    report_accuracy(r);
    report_sweep(r, "sweep/");
    report_experiment(r);
    html_end(r->to);
}

static int write_report(report *r, const char *out, const cli_common *common)
{
    cli_terminal *t = cli_terminal_new(common);
    char *path = out ? strdup(out) : dm_run_path(r->run, "report.html");
    dm_err err = {0};
    dm_status rc = t && path ? DM_OK : dm_error(&err, DM_ENOMEM, "out of memory");

    if (!rc) {
        r->callbacks = cli_callbacks(t);
        cli_catch_signals("stopping, no report is written", 0);
        rc = report_page(out ? NULL : &r->folder, out ? out : "report.html", write_parts, r, r->callbacks, &err);
    }
    cli_terminal_free(t);
    if (!rc)
        cli_print_path(path);
    free(path);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : r->failed ? dm_status_exit(r->failed) : 0;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    report r = {.draw = !q->no_samples,
                .folder = {-1, NULL},
                .run = call->argument[0],
                .overrides = call->overrides,
                .n_overrides = call->n_overrides};
    dm_err err = {0};
    int code;

    if (report_open(&r, &err) || output_check(&(const output_file){q->out, ".html", false}, 1, q->force, &err))
        code = cli_fail(&err);
    else
        code = write_report(&r, q->out, &call->common);
    dm_folder_close(&r.folder);
    return code;
}

const cli_command cmd_report = {
    .name = "report",
    .summary = "a run as one HTML file",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist report runs/fashion-mnist\n"
                "  demist report runs/fashion-mnist sampler.steps=20 --out fashion.html\n",
    .details = "The file is self-contained: its images are embedded, it has no scripts and loads nothing. It shows "
               "the training's curves, samples and how they emerge from noise, the last report of each metric of "
               "demist eval, the sweep in the run's folder, the device and the experiment. key=value: samples by "
               "another sampler, or on another device.\n",
    .run = run};
