/* demist devices: what is there to compute on. */
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/doctor.h"
#include "device/impl.h"
#include "options/command.h"

typedef struct request { bool json, list, names; } request;

static const cli_option options[] = {
    CLI_FLAG(request, json, "json", "as a JSON array"),
    CLI_FLAG(request, list, "list", "one line each: i:j, platform, device"),
    CLI_FLAG(request, names, "implementations", "the names that DEMIST_IMPL takes"), CLI_END};

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

static int run(cli_call *call)
{
    const request *q = call->options;
    dm_device_info *all;
    dm_err err = {0};
    int n;

    if (q->names)
        return print_implementations();
    if (!q->list)
        return dm_devices_print(stdout, q->json, &err) ? cli_fail(&err) : 0;
    if (dm_device_list(&all, &n, &err))
        return cli_fail(&err);
    for (int i = 0; i < n; i++)
        printf("%d:%d %s, %s\n", all[i].platform, all[i].device, all[i].platform_name, all[i].name);
    free(all);
    return n ? 0 : cli_fail(&(dm_err){DM_EDEVICE, "no OpenCL device found; `demist doctor` says what to install"});
}

const cli_command cmd_devices = {
    .name = "devices", .summary = "list the OpenCL devices", .options = options, .size = sizeof(request), .run = run};
