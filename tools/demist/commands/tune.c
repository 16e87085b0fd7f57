/* demist tune: better parameters of CLBlast for a device. */
#include "options/cli.h"

#include <stdio.h>

#include "base/plain_text.h"
#include "device/device.h"

static int run(int argc, char **argv);

const cli_command cmd_tune = {"tune", "tune [--device D] [--seconds N]",
                              "search parameters of CLBlast for a device and keep them",
                              "  demist tune --device gpu\n"
                              "  demist tune --device 0:0 --seconds 120\n\n"
                              "Every set of parameters is checked with a product whose result is known, then timed. "
                              "The best are kept in the cache folder and\n"
                              "used from then on wherever CLBlast is. Which implementation an op gets is another "
                              "choice: see the key tune.\n"
                              "  --device D    auto, cpu, gpu, part of a platform's or device's name, or i:j (auto)\n"
                              "  --seconds N   about how long it may take (300)\n",
                              run};

static void print_line(void *user, const char *text)
{
    dm_plain_put(user, text);
    fputc('\n', user);
    fflush(user);
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"device", required_argument, NULL, 'd'}, {"seconds", required_argument, NULL, 's'}, CLI_COMMON};
    const char *select = "auto";
    int64_t seconds = 300;
    cli_common common = {0};
    dm_device *d = NULL;
    dm_err err = {0};
    dm_status rc;
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'd')
            select = optarg;
        else if (opt == 's' && !cli_int(&cmd_tune, "--seconds", optarg, 1, 1000000, &seconds))
            return 2;
        else if (opt != 's' && cli_common_option(&cmd_tune, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind < argc)
        return cli_usage(&cmd_tune, "'%s' is too many", argv[optind]);
    if (!(rc = dm_device_open(select, NULL, &d, &err))) {
        printf("%s (%s)\n", dm_device_get_info(d)->name, dm_device_get_info(d)->platform_name);
        rc = dm_device_tune(d, (double)seconds, print_line, stdout, &err);
    }
    dm_device_close(d);
    return rc ? cli_fail(&err) : 0;
}
