/* demist: the command line program. Finds the command and turns its errors into exit codes. */
#include "options/cli.h"

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plain_text.h"
#include "run/run_folder.h"

const cli_command *const cli_commands[] = {
    &cmd_init,   &cmd_train,    &cmd_resume,   &cmd_sample,     &cmd_eval,  &cmd_sweep,   &cmd_report,  &cmd_predict,
    &cmd_export, &cmd_convert,  &cmd_schedule, &cmd_check,      &cmd_plot,  &cmd_plugins, &cmd_devices, &cmd_tune,
    &cmd_doctor, &cmd_selftest, &cmd_inspect,  &cmd_new_plugin, &cmd_cache, &cmd_docs};
const int cli_n_commands = sizeof cli_commands / sizeof cli_commands[0];
const char cli_exit_codes[] =
    "0 done, 1 failed, 2 usage or experiment wrong or not there, 3 plugin refused, 4 device or driver,\n"
    "5 data or checkpoint corrupt, 6 out of memory or disk, 7 training diverged, 75 stopped with a\n"
    "checkpoint saved, 130 stopped, 128+n killed by signal n\n";

int cli_fail(const dm_err *err)
{
    fprintf(stderr, "demist: error: %s\n", err->msg[0] ? err->msg : dm_status_name(err->code));
    return dm_status_exit(err->code ? err->code : DM_EIO);
}

int cli_usage(const cli_command *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dm_plain_text(text);
    fprintf(stderr, "demist: error: %s\nusage: demist %s\n       demist %s --help tells more\n", text, c->usage,
            c->name);
    return 2;
}

void cli_print_path(const char *path)
{
    if (isatty(STDOUT_FILENO))
        dm_plain_put(stdout, path);
    else
        fputs(path, stdout);
    putchar('\n');
}

void cli_help(const cli_command *c)
{
    printf("usage: demist %s\n\n%s\n\n%s\n"
           "Every command takes --quiet, --verbose, --progress auto|bar|plain|json|none and --color "
           "auto|always|never.\n",
           c->usage, c->summary, c->help);
}

/* The place of value in a list that ends with NULL; a usage error and -1 where it is none of them. */
static int one_of(const cli_command *c, const char *option, const char *value, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (!strcmp(list[i], value))
            return i;
    cli_usage(c, "--%s is '%s'; see demist %s --help", option, value, c->name);
    return -1;
}

bool cli_common_option(const cli_command *c, int opt, char **argv, cli_common *o, bool *done, int *code)
{
    static const char *const progress[] = {"auto", "bar", "plain", "json", "none", NULL}, *const color[] = {
                                                                                              "auto", "always", "never",
                                                                                              NULL};

    *done = false;
    switch (opt) {
    case CLI_PROGRESS:
    case CLI_COLOR: {
        int *to = opt == CLI_COLOR ? &o->color : &o->progress;

        *to = opt == CLI_COLOR ? one_of(c, "color", optarg, color) : one_of(c, "progress", optarg, progress);
        *done = *to < 0;
        *code = 2;
        return true;
    }
    case 'q': o->quiet = true; return true;
    case 'v': o->verbose = true; return true;
    case 'h':
        cli_help(c);
        *done = true;
        *code = 0;
        return true;
    case '?':
        *done = true;
        *code = cli_usage(c, "unknown option '%s'", argv[optind - 1]);
        return true;
    case ':':
        *done = true;
        *code = cli_usage(c, "option '%s' needs a value", argv[optind - 1]);
        return true;
    default: return false;
    }
}

bool cli_only_common(const cli_command *c, int argc, char **argv, cli_common *o, int *code)
{
    static const struct option options[] = {CLI_COMMON};
    bool done;
    int opt;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1)
        if (cli_common_option(c, opt, argv, o, &done, code) && done)
            return true;
    return false;
}

bool cli_int(const cli_command *c, const char *what, const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    if (!errno && end != text && !*end && *out >= min && *out <= max)
        return true;
    cli_usage(c, "%s is '%s'; it must be a whole number from %lld to %lld", what, text, (long long)min, (long long)max);
    return false;
}

dm_status cli_best(const char *run, char **path, dm_err *err)
{
    if (!(*path = dm_run_path(run, DM_RUN_BEST)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (access(run, F_OK) || !access(*path, F_OK))
        return DM_OK; /* opening says what else is wrong */
    return dm_error(err, DM_EINVAL,
                    "--best: '%s' has no " DM_RUN_BEST "; a run has one where it is trained with train.validate_every",
                    run);
}

const char **cli_overrides(const char *more, int argc, char **argv, int32_t *n)
{
    const char **all = calloc((size_t)(argc - optind) + 1, sizeof *all);

    *n = 0;
    if (all && more)
        all[(*n)++] = more;
    for (int i = optind + 1; i < argc && all; i++)
        all[(*n)++] = argv[i];
    return all;
}

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
    for (int i = 0; i < cli_n_commands; i++)
        fprintf(to, "  %-11s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    fprintf(to, "\ndemist COMMAND --help tells more of each. First steps:\n"
                "  demist train configs/moons.yaml\n  demist sample runs/moons --count 2000 --out moons.png\n\n"
                "exit codes: %s", cli_exit_codes);
}

/* What could not be written was not done. */
static int finish(int code)
{
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    fprintf(stderr, "demist: error: unable to write to standard output\n");
    return code ? code : 1;
}

static int run(int argc, char **argv)
{
    char dash_help[] = "--help";
    const char *name = argc > 1 ? argv[1] : NULL;

    setlocale(LC_CTYPE, "");
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
    for (int i = 0; i < cli_n_commands; i++)
        if (!strcmp(cli_commands[i]->name, name)) {
            if (argc > 2 && !strcmp(argv[2], "--version")) {
                printf("demist %s\n", dm_version());
                return finish(0);
            }
            cli_watch_plugins();
            return finish(cli_commands[i]->run(argc - 1, argv + 1));
        }
    fputs("demist: error: unknown command '", stderr);
    dm_plain_put(stderr, name);
    fputs("'; demist --help lists them\n", stderr);
    return 2;
}

int main(int argc, char **argv) { return cli_with_stack(run, argc, argv); }
