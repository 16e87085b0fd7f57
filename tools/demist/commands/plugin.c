/* demist plugin: what the author of a plugin does with it. */
#define _XOPEN_SOURCE 700 /* mkdtemp, realpath */
#include "plugin_test/plugin_test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings/param.h"
#include "text/number.h"
#include "options/command.h"
#include "terminal/signals.h"

typedef struct request {
    const char *check, *device, *order, *folder;
    int64_t limit;
    bool json, watch;
} request;

static const cli_option options[] = {
    CLI_HEADING("of build:"),
    CLI_FLAG(request, watch, "watch", "build and test it again at each change of the file, until Ctrl-C"),
    CLI_STRING(request, folder, CLI_T_FOLDER, "folder", 0, "D", NULL,
               "into this folder (~/.local/share/demist/plugins, where every command finds it)"),
    CLI_HEADING("of test:"),
    CLI_TEXT(request, check, "check", "NAME", "this check alone, in this process: for a debugger"),
    CLI_STRING(request, device, CLI_T_DEVICE, "device", 0, "D", NULL, "on this device, not on one of each platform"),
    CLI_TEXT(request, order, "order", "P", "a sampler's order, which its convergence must reach"),
    CLI_NUMBER(request, limit, "limit", "S", 1, 86400, "300", "seconds that a check may take"),
    CLI_FLAG(request, json, "json", "a report as JSON on standard output, the lines on standard error"),
    CLI_END};

static int run_one(const cli_call *call, const request *q, const char *file, double order)
{
    const plugin_test_check *c = plugin_test_find(q->check);
    plugin_test t = {.file = file, .order = order, .given = call->overrides, .n_given = call->n_overrides};
    dm_device_info about;
    char device[24];
    dm_err err = {0};

    if (!c)
        return cli_usage(call->command, "there is no check '%s'; demist plugin test FILE.so shows them", q->check);
    if (c->device) {
        if (dm_device_pick(q->device ? q->device : "auto", &about, &err))
            return cli_fail(&err);
        snprintf(device, sizeof device, "%d:%d", about.platform, about.device);
        t.device = device;
    }
    if (plugin_test_run_check(&t, c, &err))
        return 0;
    return err.code ? cli_fail(&err) : 1;
}

static bool ends(const char *name, const char *with)
{
    const size_t n = strlen(name), m = strlen(with);

    return n > m && !strcmp(name + n - m, with);
}

/* NAME.so of the user's folder, where build puts it. */
static bool find_built(const char *said, char file[PATH_MAX], char folder[PATH_MAX])
{
    char path[PATH_MAX + 80];

    if (!dm_plugin_user_folder(folder, PATH_MAX))
        return false;
    snprintf(path, sizeof path, "%s/%.70s%s", folder, said, ends(said, ".so") ? "" : ".so");
    return realpath(path, file) != NULL;
}

/* FILE.so, or NAME or NAME.so of the user's folder, or FILE.c, built into `folder`; the exit code. */
static int find_file(const cli_call *call, char file[PATH_MAX], const char *folder)
{
    const char *said = call->argument[1], *slash = strrchr(said, '/'), *name = slash ? slash + 1 : said;
    char built[PATH_MAX + 80], own[PATH_MAX] = "";
    const int n = (int)strlen(name) - 2;
    dm_err err = {0};
    int code;

    if (ends(said, ".c")) {
        if ((code = plugin_test_build_file(&(plugin_test_build){.file = said, .folder = folder, .quiet = true})))
            return code;
        snprintf(built, sizeof built, "%s/%.*s.so", folder, n < 70 ? n : 70, name);
        if (realpath(built, file))
            return 0;
        dm_file_error(&err, "open", built);
        return cli_fail(&err);
    }
    if (ends(said, ".so") && realpath(said, file))
        return 0;
    if (!ends(said, ".so") && !(dm_name_ok(said) && !slash))
        return cli_usage(call->command, "'%s' is not a plugin: neither FILE.c nor FILE.so, nor the NAME of one that "
                         "demist plugin build made", said);
    if (find_built(name, file, own)) {
        if (!slash)
            return 0;
        dm_error(&err, DM_ENOENT, "there is no '%s', but '%s' in your folder of plugins: demist plugin test %s", said,
                 file, name);
    } else if (slash) {
        dm_file_error(&err, "open", said);
    } else {
        dm_error(&err, DM_ENOENT, "there is no '%s' here, nor in '%s', where demist plugin build puts it", said, own);
    }
    return cli_fail(&err);
}

static int test_file(const cli_call *call, const request *q, const char *file, double order)
{
    if (q->check)
        return run_one(call, q, file, order);
    cli_catch_signals("stopping after this check", 0);
    cli_steps_begun();
    return plugin_test_all(&(plugin_test_request){.file = file, .order = q->order, .device = q->device,
                                                  .limit = q->limit, .json = q->json, .given = call->overrides,
                                                  .n_given = call->n_overrides});
}

static int run_test(const cli_call *call, const request *q)
{
    const char *tmp = getenv("TMPDIR");
    char file[PATH_MAX], folder[PATH_MAX];
    const bool source = ends(call->argument[1], ".c");
    double order = 0;
    dm_err err = {0};
    int code;

    if (q->order && (dm_number_real(q->order, &order) != DM_NUMBER_OK || !(order > 0) || order > 16))
        return cli_usage(call->command, "--order is '%s'; it must be a number above 0, to 16", q->order);
    snprintf(folder, sizeof folder, "%s/demist-build-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (source && !mkdtemp(folder)) {
        dm_file_error(&err, "make", folder);
        return cli_fail(&err);
    }
    if (!(code = find_file(call, file, folder)))
        code = test_file(call, q, file, order);
    if (source)
        plugin_test_remove(folder);
    return code;
}

static int run_build(const cli_call *call, const request *q)
{
    if (q->check || q->order || q->json)
        return cli_usage(call->command, "--%s is for test, not for build",
                         q->check ? "check" : q->order ? "order" : "json");
    if (q->watch) {
        cli_catch_signals("stopping", 0);
        cli_steps_begun();
    }
    return plugin_test_build_file(&(plugin_test_build){.file = call->argument[1], .folder = q->folder,
                                                       .watch = q->watch, .given = call->overrides,
                                                       .n_given = call->n_overrides});
}

static int run(cli_call *call)
{
    const request *q = call->options;

    if (!strcmp(call->argument[0], "build"))
        return run_build(call, q);
    if (q->watch || q->folder)
        return cli_usage(call->command, "--%s is for build, not for test", q->watch ? "watch" : "folder");
    return run_test(call, q);
}

const cli_command cmd_plugin = {
    .name = "plugin",
    .summary = "build and test a plugin that you write",
    .arguments = (const cli_argument[]){{CLI_T_CHOICE, "build|test", "build|test", "give build or test", false},
                                        {CLI_T_FILE, "FILE.c|FILE.so|NAME", ".c|.so", "give a file", false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist plugin build my_curve.c\n  demist plugin build my_curve.c --watch\n"
                "  demist plugin test my_curve\n  demist plugin test my_sampler.so --order 2 eta=0.5\n"
                "  demist plugin test my_data.so file=photos.bin --json > report.json\n",
    .details = "build compiles one C file with the compiler's own messages ($CC, else cc) into NAME.so in your folder "
               "of plugins, $XDG_DATA_HOME/demist/plugins or ~/.local/share/demist/plugins.\n"
               "test: NAME, or NAME.so that is not here, is that in your folder of plugins; FILE.c is built for the "
               "test alone.\n"
               "Each check runs in a process of its own, and those that need a device once on each OpenCL "
               "platform; one that fails says what is wrong and what to do.\n"
               "key=value is a parameter of the plugin, or, with a section, of the experiment that it is tested in: "
               "beta_max=0.1, network.width=32. Parameters without a default must be given.\n",
    .run = run};
