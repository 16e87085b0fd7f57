/* demist selftest: may this device be trusted? */
#include "options/cli.h"

#include <stdio.h>

#include "device/device.h"
#include "selftest/selftest.h"

static int run(int argc, char **argv);

const cli_command cmd_selftest = {
    "selftest", "selftest [--device D]", "check a device: every op, the random numbers, training",
    "Every op by each of its implementations against committed values, the random numbers' known answers, and twenty\n"
    "training steps of two networks against committed losses. Run it on a new GPU before trusting it.\n"
    "  --device D   auto, cpu, gpu, part of a name, or i:j as demist devices shows\n",
    run};

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"device", required_argument, NULL, 'd'}, CLI_COMMON};
    const char *device = "auto";
    const dm_device_options o = {.bf16 = true, .high = true};
    selftest_count n = {0};
    cli_common common = {0};
    dm_device *d;
    dm_err err = {0};
    bool done;
    int opt, code;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'd')
            device = optarg;
        else if (cli_common_option(&cmd_selftest, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind < argc)
        return cli_usage(&cmd_selftest, "'%s' is too many", argv[optind]);
    if (dm_device_open(device, &o, &d, &err))
        return cli_fail(&err);
    printf("device: %s (%s), driver %s\n", dm_device_get_info(d)->name, dm_device_get_info(d)->platform_name,
           dm_device_get_info(d)->driver);
    selftest_run_random(d, &n);
    selftest_run_ops(d, &n);
    dm_device_close(d);
    selftest_run_training(device, &n);
    printf("%d passed, %d failed\n", n.passed, n.failed);
    return n.failed ? 1 : 0;
}
