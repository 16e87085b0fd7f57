/* demist: the command line program. The table of its commands; finds the command that is called and runs it. Each is a
 * file in commands/, and all work is done by libdemist. Messages go to stderr, data that was asked for to stdout. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "options/suggest.h"
#include "terminal/process.h"

extern const cli_command cmd_cache, cmd_check, cmd_compare, cmd_complete, cmd_convert, cmd_devices, cmd_docs,
    cmd_doctor, cmd_edit, cmd_eval, cmd_export, cmd_info, cmd_init, cmd_inspect, cmd_new_plugin, cmd_plan, cmd_plot,
    cmd_plugin, cmd_plugins, cmd_predict, cmd_report, cmd_resume, cmd_runs, cmd_sample, cmd_schedule, cmd_selftest,
    cmd_sweep, cmd_train, cmd_tune;

/* In the order of the help. */
static const cli_command *const commands[] = {
    &cmd_init, &cmd_train, &cmd_resume, &cmd_sample, &cmd_edit, &cmd_info, &cmd_eval, &cmd_sweep, &cmd_runs,
    &cmd_report, &cmd_compare, &cmd_plot, &cmd_predict, &cmd_export, &cmd_convert, &cmd_schedule, &cmd_check,
    &cmd_plan, &cmd_plugins, &cmd_devices, &cmd_tune, &cmd_doctor, &cmd_selftest, &cmd_inspect, &cmd_new_plugin,
    &cmd_plugin, &cmd_cache, &cmd_docs, &cmd_complete, NULL};

static const cli_program program = {
    commands,
    "0 done, 1 failed, 2 usage or experiment wrong or missing, 3 plugin refused, 4 device or driver,\n"
    "5 data or checkpoint corrupt, 6 out of memory or disk, 7 training diverged, 75 stopped with a\n"
    "checkpoint saved, 130 stopped, 128+n killed by signal n\n"};

#if defined(__clang__)
#define COMPILER __VERSION__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "another compiler"
#endif

static void help(FILE *to)
{
    fprintf(to, "demist %s: denoising diffusion on any OpenCL device\n\nusage: demist COMMAND ...\n\n", dm_version());
    for (int i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            fprintf(to, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\ndemist COMMAND --help describes each. First steps:\n"
                "  demist train configs/moons.yaml\n  demist sample runs/moons --count 2000 --out moons.png\n\n"
                "exit codes: %s", program.exit_codes);
}

/* What could not be written was not done. */
static int finish(int code)
{
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    cli_error("unable to write to standard output");
    return code ? code : 1;
}

static int unknown(const char *name)
{
    const char *near = cli_nearest_command(&program, name);

    if (near)
        cli_error("unknown command '%s'; did you mean '%s'?", name, near);
    else
        cli_error("unknown command '%s'; demist --help lists them", name);
    return 2;
}

static int run(int argc, char **argv)
{
    char dash_help[] = "--help";
    const char *name = argc > 1 ? argv[1] : NULL;
    const cli_command *c;

    setlocale(LC_CTYPE, "");
    if (!cli_hold_cpu())
        return 2;
    cli_driver_folders();
    if (name && (!strcmp(name, "--version") || !strcmp(name, "version"))) {
        printf("demist %s (plugin interface %d.%d)\ncompiled by %s; Apache-2.0; no warranty\n", dm_version(),
               (int)(DM_ABI >> 16), (int)(DM_ABI & 0xffff), COMPILER);
        return finish(0);
    }
    if (name && !strcmp(name, "help") && argc > 2) { /* demist help COMMAND */
        argv[1] = argv[2];
        argv[2] = dash_help;
        name = argv[1];
        argc = 3;
    }
    if (!name || !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        help(name ? stdout : stderr);
        return finish(name ? 0 : 2);
    }
    if (!(c = cli_find(&program, name)))
        return unknown(name);
    if (argc > 2 && !strcmp(argv[2], "--version")) {
        printf("demist %s\n", dm_version());
        return finish(0);
    }
    cli_watch_plugins();
    return finish(cli_run(&program, c, argc - 1, argv + 1));
}

int main(int argc, char **argv) { return cli_with_stack(run, argc, argv); }
