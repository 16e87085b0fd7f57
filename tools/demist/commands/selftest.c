/* demist selftest: may this device be trusted? */
#include "selftest/selftest.h"

#include <stdio.h>

#include "device/device.h"
#include "options/command.h"

typedef struct request { const char *device; } request;

static const cli_option options[] = {
    CLI_DEVICE(request, device, "cpu, gpu, part of a name, or i:j as demist devices shows"), CLI_END};

static int run(cli_call *call)
{
    const request *q = call->options;
    const dm_device_options o = {.bf16 = true, .high = true};
    selftest_count n = {0};
    dm_device *d;
    dm_err err = {0};

    if (dm_device_open(q->device, &o, &d, &err))
        return cli_fail(&err);
    printf("device: %s (%s), driver %s\n", dm_device_get_info(d)->name, dm_device_get_info(d)->platform_name,
           dm_device_get_info(d)->driver);
    selftest_run_random(d, &n);
    selftest_run_ops(d, &n);
    dm_device_close(d);
    selftest_run_training(q->device, &n);
    printf("%d passed, %d failed\n", n.passed, n.failed);
    return n.failed ? 1 : 0;
}

const cli_command cmd_selftest = {
    .name = "selftest",
    .summary = "check a device: every op, the random numbers, training",
    .options = options,
    .size = sizeof(request),
    .examples = "  demist selftest --device gpu\n",
    .details = "Every op by each of its implementations against committed values, the random numbers' known "
               "answers, and twenty training steps of two networks against committed losses. Run it on a new GPU "
               "before trusting it.\n",
    .run = run};
