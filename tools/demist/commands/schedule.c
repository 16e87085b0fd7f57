/* demist schedule: the noise process and the steps of the sampler, in numbers. */
#include "options/cli.h"

#include <stdio.h>

#include "files/output.h"
#include "schedule/schedule_report.h"
#include "session/session.h"
#include "session/session_read.h"

static int run(int argc, char **argv);

const cli_command cmd_schedule = {"schedule", "schedule EXP.yaml [key=value ...] [--json F] [--plot F.png] [--force]",
                                  "print a noise schedule and the sampler's timesteps",
                                  "  demist schedule configs/moons.yaml schedule.use=cosine sampler.steps=25 --json "
                                  "cosine.json\n\n"
                                  "For every t in double precision: beta, alpha_bar, log_snr and posterior_variance; "
                                  "and timesteps, 0-based, those\n"
                                  "that the sampler will visit, noisiest first.\n"
                                  "  --json F      one JSON object of arrays under these names, 17 digits\n"
                                  "  --plot F.png  as curves\n"
                                  "  --force       overwrite files that are there\n",
                                  run};

static dm_status report(const char *experiment, const char *const *overrides, int n, const char *json, const char *plot,
                        cli_terminal *t, dm_err *err)
{
    dm_walk g = {0};
    dm_session s;
    dm_status rc;

    if ((rc = dm_session_read(&s, experiment, overrides, n, DM_NEED_NETWORK, cli_callbacks(t), err)))
        return rc;
    if (!s.noise)
        rc = dm_error(err, DM_EINVAL, "'%s' has no schedule", experiment);
    else if (!(rc = dm_noise_walk(s.noise, s.experiment->sampler.steps, &s.experiment->section[DM_SEC_GRID], &g,
                                  err))) {
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

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", required_argument, NULL, 'j'},
                                            {"plot", required_argument, NULL, 'p'},
                                            {"force", no_argument, NULL, 'f'},
                                            CLI_COMMON};
    const char *json = NULL, *plot = NULL;
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    int opt, code;
    bool done, force = false;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1) {
        if (opt == 'j')
            json = optarg;
        else if (opt == 'p')
            plot = optarg;
        else if (opt == 'f')
            force = true;
        else if (cli_common_option(&cmd_schedule, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind >= argc)
        return cli_usage(&cmd_schedule, "which experiment?");
    if (output_check((const output_file[]){{json, NULL, false}, {plot, ".png", false}, {argv[optind], NULL, true}}, 3,
                     force, &err))
        return cli_fail(&err);
    if (!(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    rc = report(argv[optind], (const char *const *)argv + optind + 1, argc - optind - 1, json, plot, t, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}
