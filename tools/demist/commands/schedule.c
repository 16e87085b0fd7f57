/* demist schedule: the noise process and the steps of the sampler, in numbers. */
#include "schedule/schedule_report.h"

#include <stdio.h>

#include "base/error.h"
#include "files/output.h"
#include "files/source.h"
#include "options/command.h"
#include "session/session.h"
#include "session/session_read.h"

typedef struct request { const char *json, *plot; bool force; } request;

static const cli_option options[] = {
    CLI_FILE(request, json, "json", "F", ".json", "one JSON object of arrays under these names, 17 digits"),
    CLI_FILE(request, plot, "plot", "F.png", ".png", "as curves"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite existing files"), CLI_END};

static dm_status report(const char *experiment, const char *const *overrides, int n, const char *json, const char *plot,
                        cli_terminal *t, dm_err *err)
{
    dm_walk g = {0};
    dm_session s;
    bool model;
    dm_status rc = source_is_model(experiment, &model, err);

    if (rc || (rc = model ? dm_session_read_run(&s, experiment, overrides, n, cli_callbacks(t), err)
                          : dm_session_read(&s, experiment, overrides, n, DM_NEED_NETWORK, cli_callbacks(t), err)))
        return rc;
    if (!s.noise)
        rc = dm_error(err, DM_EINVAL, "'%s' has no schedule", experiment);
    else if (!(rc = dm_noise_walk_of(s.noise, s.experiment, &g, err))) {
        if (!json && !plot)
            dm_schedule_table(s.noise, &g, stdout);
        if (json)
            rc = dm_schedule_json(s.noise, &g, json, err);
        if (!rc && plot)
            rc = dm_schedule_plot(s.noise, &g, plot, err);
    }
    dm_walk_fini(&g);
    dm_session_fini(&s);
    return rc;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;

    if (output_check((const output_file[]){{q->json, NULL, false}, {q->plot, ".png", false},
                                           {call->argument[0], NULL, true}}, 3, q->force, &err))
        return cli_fail(&err);
    if (!(t = cli_terminal_new(&call->common)))
        return cli_no_memory();
    rc = report(call->argument[0], call->overrides, call->n_overrides, q->json, q->plot, t, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_schedule = {
    .name = "schedule",
    .summary = "print a noise schedule and the sampler's timesteps",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "EXP.yaml|RUN", ".yaml|.yml|.safetensors",
                                         "give an experiment or a run", false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist schedule configs/moons.yaml schedule.use=cosine sampler.steps=25 --json cosine.json\n"
                "  demist schedule runs/moons grid.use=karras\n",
    .details = "For every t in double precision: beta, alpha_bar, log_snr and posterior_variance; and timesteps, "
               "0-based, those that the sampler will visit, noisiest first.\n",
    .run = run};
