/* demist devices, doctor, plot: what is there. */
#include "options/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "device/doctor.h"
#include "plugin/plugin_doctor.h"
#include "base/error.h"
#include "base/file.h"
#include "device/impl.h"
#include "files/output.h"
#include "run/plot.h"
#include "run/run_folder.h"

static int run_devices(int argc, char **argv), run_doctor(int argc, char **argv),
    run_plot(int argc, char **argv);

const cli_command cmd_devices = {"devices", "devices [--json | --list | --implementations]", "list the OpenCL devices",
                                 "  --json   as a JSON array\n  --list   one line each: i:j, platform, device\n"
                                 "  --implementations   the names that DEMIST_IMPL takes\n", run_devices};
const cli_command cmd_doctor = {"doctor", "doctor", "check the installation and say what to install",
                                "Loader, platforms, drivers, CLBlast, plugin folders, cache: each OK or what to do.\n",
                                run_doctor};
const cli_command cmd_plot = {
    "plot", "plot RUN [--out F.png] [--force]", "draw loss, learning rate, gradient norm and throughput of a run",
    "  --out F.png   where (RUN/plots/loss.png)\n  --force       overwrite F.png if it is there\n", run_plot};

/* Is it the first of this name? */
static bool is_new(const dm_impl *impl, int kind, int at)
{
    const dm_impl *before;

    for (int k = 0; k <= kind; k++)
        for (int i = 0; (k < kind || i < at) && (before = dm_impl_at((dm_op_kind)k, i)); i++)
            if (!strcmp(before->name, impl->name))
                return false;
    return true;
}

static int print_implementations(void)
{
    const dm_impl *impl;

    for (int kind = 0; kind < DM_OP_COUNT; kind++)
        for (int i = 0; (impl = dm_impl_at((dm_op_kind)kind, i)); i++)
            if (is_new(impl, kind, i))
                printf("%s\n", impl->name);
    return 0;
}

static int run_devices(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"list", no_argument, NULL, 'l'},
                                            {"implementations", no_argument, NULL, 'i'}, CLI_COMMON};
    bool json = false, list = false, names = false, done;
    cli_common common = {0};
    dm_device_info *all;
    dm_err err = {0};
    int opt, code, n;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'j')
            json = true;
        else if (opt == 'l')
            list = true;
        else if (opt == 'i')
            names = true;
        else if (cli_common_option(&cmd_devices, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind < argc)
        return cli_usage(&cmd_devices, "'%s' is too many", argv[optind]);
    if (names)
        return print_implementations();
    if (!list)
        return dm_devices_print(stdout, json, &err) ? cli_fail(&err) : 0;
    if (dm_device_list(&all, &n, &err))
        return cli_fail(&err);
    for (int i = 0; i < n; i++)
        printf("%d:%d %s, %s\n", all[i].platform, all[i].device, all[i].platform_name, all[i].name);
    free(all);
    return n ? 0 : cli_fail(&(dm_err){DM_EDEVICE, "no OpenCL device found; `demist doctor` says what to install"});
}

static int run_doctor(int argc, char **argv)
{
    cli_common common = {0};
    dm_err err = {0};
    dm_findings found = {.out = stdout, .err = &err};
    int code;

    if (cli_only_common(&cmd_doctor, argc, argv, &common, &code))
        return code;
    if (optind < argc)
        return cli_usage(&cmd_doctor, "'%s' is too many", argv[optind]);
    dm_doctor(&found);
    dm_plugin_doctor(&found);
    return found.first ? cli_fail(&err) : 0;
}

static int run_plot(int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'}, {"force", no_argument, NULL, 'f'}, CLI_COMMON};
    const char *out = NULL;
    dm_folder run = {-1, NULL};
    char *path;
    cli_common common = {0};
    dm_err err = {0};
    dm_status rc;
    bool done, force = false;
    int opt, code;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1) {
        if (opt == 'o')
            out = optarg;
        else if (opt == 'f')
            force = true;
        else if (cli_common_option(&cmd_plot, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind != argc - 1)
        return cli_usage(&cmd_plot, "which run?");
    if (output_check(&(const output_file){out, ".png", false}, 1, force, &err))
        return cli_fail(&err);
    if (!(rc = dm_folder_open(&run, argv[optind], &err)) && !dm_folder_has(&run, DM_RUN_LOG))
        rc = dm_error(&err, DM_ENOENT, "'%s' is not a run folder: it has no " DM_RUN_LOG, argv[optind]);
    path = out ? strdup(out) : dm_run_path(argv[optind], DM_RUN_PLOT);
    if (!rc && !path)
        rc = dm_error(&err, DM_ENOMEM, "out of memory for a name");
    if (!rc && !out)
        rc = dm_folder_add(&run, "plots", &err);
    if (!rc && !(rc = dm_plot_run(&run, out ? NULL : &run, out ? out : DM_RUN_PLOT, &err)))
        cli_print_path(path);
    dm_folder_close(&run);
    free(path);
    return rc ? cli_fail(&err) : 0;
}
