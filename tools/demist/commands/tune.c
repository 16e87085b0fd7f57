/* demist tune: better parameters of CLBlast for a device. */
#include <stdio.h>

#include "device/device.h"
#include "options/command.h"

typedef struct request { const char *device; int64_t seconds; } request;

static const cli_option options[] = {
    CLI_DEVICE(request, device, "cpu, gpu, part of a platform's or device's name, or i:j"),
    CLI_NUMBER(request, seconds, "seconds", "N", 1, 1000000, "300", "about how long it may take"), CLI_END};

static int run(cli_call *call)
{
    const request *q = call->options;
    dm_device *d = NULL;
    dm_err err = {0};
    dm_status rc;

    if (!(rc = dm_device_open(q->device, NULL, &d, &err))) {
        printf("%s (%s)\n", dm_device_get_info(d)->name, dm_device_get_info(d)->platform_name);
        rc = dm_device_tune(d, (double)q->seconds, cli_print_line, stdout, &err);
    }
    dm_device_close(d);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_tune = {
    .name = "tune",
    .summary = "search parameters of CLBlast for a device and keep them",
    .options = options,
    .size = sizeof(request),
    .examples = "  demist tune --device gpu\n  demist tune --device 0:0 --seconds 120\n",
    .details = "Every set of parameters is checked with a product whose result is known, then timed. The best are "
               "kept in the cache folder and used from then on wherever CLBlast is. Which implementation an op gets "
               "is another choice: see the key tune.\n",
    .run = run};
