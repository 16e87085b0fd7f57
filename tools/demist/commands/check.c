/* demist check: would this experiment run, and at what cost? */
#include "options/cli.h"

#include <stdio.h>

#include "base/plain_text.h"

static int run(int argc, char **argv);

const cli_command cmd_check = {
    "check", "check EXP.yaml [key=value ...] [--explain] [--data]", "check an experiment and say what it would cost",
    "All faults at once, each with file:line:column. When there is none: the resolved experiment, parameters, work an\n"
    "image, device memory, kernels.\n"
    "  --explain   a line for each op: implementation, extents, work\n"
    "  --data      first read every example once, and tell each that cannot be read\n",
    run};

static void print_line(void *user, const char *text)
{
    dm_plain_put(user, text);
    fputc('\n', user);
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"explain", no_argument, NULL, 'e'}, {"data", no_argument, NULL, 'd'}, CLI_COMMON};
    dm_check_options o = {.size = sizeof o};
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'e')
            o.explain = true;
        else if (opt == 'd')
            o.data = true;
        else if (cli_common_option(&cmd_check, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind >= argc)
        return cli_usage(&cmd_check, "which experiment?");
    if (!(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    o.overrides = (const char *const *)argv + optind + 1;
    o.n_overrides = argc - optind - 1;
    o.line = print_line;
    o.line_user = stdout;
    o.callbacks = cli_callbacks(t);
    cli_catch_signals("stopping after this image");
    rc = dm_check(argv[optind], &o, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}
