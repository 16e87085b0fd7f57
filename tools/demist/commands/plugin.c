/* demist plugin: what the author of a plugin does with it. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "plugin_test/plugin_test.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "options/command.h"
#include "terminal/signals.h"

typedef struct request {
    const char *check, *device, *order;
    int64_t limit;
    bool json;
} request;

static const cli_option options[] = {
    CLI_TEXT(request, check, "check", "NAME", "this check alone, in this process: for a debugger"),
    CLI_STRING(request, device, CLI_T_DEVICE, "device", 0, "D", NULL, "on this device, not on one of each platform"),
    CLI_TEXT(request, order, "order", "P", "a sampler's order, which its convergence must reach"),
    CLI_NUMBER(request, limit, "limit", "S", 1, 86400, "60", "seconds that a check may take"),
    CLI_FLAG(request, json, "json", "a report as JSON on standard output, the lines on standard error"),
    CLI_END};

static int run_one(const cli_call *call, const request *q, const char *file)
{
    const plugin_test_check *c = plugin_test_find(q->check);
    plugin_test t = {.file = file, .device = q->device, .given = call->overrides, .n_given = call->n_overrides};
    dm_device_info about;
    char device[24];
    dm_err err = {0};

    if (!c)
        return cli_usage(call->command, "there is no check '%s'; demist plugin test FILE.so shows them", q->check);
    if (c->device && dm_device_pick(q->device ? q->device : "auto", &about, &err))
        return cli_fail(&err);
    snprintf(device, sizeof device, "%d:%d", about.platform, about.device);
    t.device = c->device ? device : NULL;
    if (q->order)
        dm_number_real(q->order, &t.order);
    if (plugin_test_run_check(&t, c, &err))
        return 0;
    return err.code ? cli_fail(&err) : 1;
}

static int run_test(const cli_call *call, const request *q)
{
    char file[PATH_MAX];
    double order = 1;
    const plugin_test_request all = {.file = file, .order = q->order, .device = q->device, .limit = q->limit,
                                     .json = q->json, .given = call->overrides, .n_given = call->n_overrides};
    const size_t n = strlen(call->argument[1]);

    if (n < 4 || strcmp(call->argument[1] + n - 3, ".so"))
        return cli_usage(call->command, "'%s' is no shared object, FILE.so; demist plugin build makes one of FILE.c",
                         call->argument[1]);
    if (!realpath(call->argument[1], file)) {
        dm_err err = {0};

        dm_file_error(&err, "open", call->argument[1]);
        return cli_fail(&err);
    }
    if (q->order && (dm_number_real(q->order, &order) != DM_NUMBER_OK || !(order > 0) || order > 16))
        return cli_usage(call->command, "--order is '%s'; it must be a number above 0, to 16", q->order);
    if (q->check)
        return run_one(call, q, file);
    cli_catch_signals("stopping after this check");
    cli_steps_begun();
    return plugin_test_all(&all);
}

static int run(cli_call *call)
{
    return run_test(call, call->options);
}

const cli_command cmd_plugin = {
    .name = "plugin",
    .summary = "test a plugin that you write",
    .arguments = (const cli_argument[]){{CLI_T_CHOICE, "test", "test", "what to do? test", false},
                                        {CLI_T_FILE, "FILE.so", ".so", "which file?", false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist plugin test my_curve.so\n  demist plugin test my_sampler.so --order 2 eta=0.5\n"
                "  demist plugin test my_data.so file=photos.bin --json > report.json\n",
    .details = "Each check runs in a process of its own, and those that need a device once on each OpenCL platform; "
               "one that fails says what is wrong and what to do.\n"
               "key=value is a parameter of the plugin, or, with a section, of the experiment that it is tested in: "
               "beta_max=0.1, network.width=32. Parameters without a default must be given.\n",
    .run = run};
