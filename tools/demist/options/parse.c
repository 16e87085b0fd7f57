/* Reads a command line by the rows of its command; see command.h. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/launch.h"
#include "options/command.h"
#include "options/keys.h"
#include "options/suggest.h"
#include "options/usage.h"

enum { FIRST = 256 };              /* getopt's values are places in the rows behind it; letters lie below */

/* What is read, and with what. */
typedef struct reader {
    const cli_command *command;
    cli_call *call;
    const cli_option **row;        /* the command's, then those of every command */
    int n, n_own;
    struct option *options;        /* of getopt_long */
    char letters[128];
} reader;

/* Puts the value where the row says; 0, or 2 after what is wrong was said. */
static int take(reader *r, int i, const char *value)
{
    const cli_option *o = r->row[i];
    char *base = i < r->n_own ? r->call->options : (char *)&r->call->common, *to = base + o->offset;
    char text[400], words[300];
    cli_list *list;

    switch (o->kind) {
    case CLI_T_FLAG: *(bool *)(void *)to = true; return 0;
    case CLI_T_FOR_KEY:
        for (int k = 0; k < r->call->n_overrides; k++)
            if (r->call->overrides[k] == o->words)
                return 0;
        r->call->overrides[r->call->n_overrides++] = o->words;
        return 0;
    case CLI_T_NUMBER:
        if (cli_number(value, o->min, o->max, (int64_t *)(void *)to, text, sizeof text))
            return 0;
        return cli_usage(r->command, "--%s is %s", o->name, text);
    case CLI_T_CHOICE:
        if (!cli_is_word(o->words, value, strlen(value))) {
            cli_nearest_word(o->words, value, text, sizeof text);
            cli_words_text(o->words, words, sizeof words);
            return cli_usage(r->command, "--%s is '%s'; it must be %s%s", o->name, value, words, text);
        }
        break;
    case CLI_T_LIST:
        list = (cli_list *)(void *)to;
        if (list->n == o->max)
            return cli_usage(r->command, "--%s is given more than %lld times", o->name, (long long)o->max);
        if (!list->item && !(list->item = calloc((size_t)o->max, sizeof *list->item)))
            return cli_no_memory();
        list->item[list->n++] = value;
        return 0;
    default: break;
    }
    *(const char **)(void *)to = value;
    return 0;
}

/* The rows as getopt_long takes them, and the defaults. */
static int prepare(reader *r)
{
    size_t at = 1;
    int n = 0, code = 0;

    r->letters[0] = ':';
    for (const cli_option *o = r->command->options; o && o->kind; o++)
        n += o->kind != CLI_T_HEADING;
    r->n_own = n;
    for (const cli_option *o = cli_common_options; o->kind; o++)
        n++;
    r->row = calloc((size_t)n, sizeof *r->row);
    r->options = calloc((size_t)n + 1, sizeof *r->options);
    if (!r->row || !r->options)
        return cli_no_memory();
    for (const cli_option *o = r->command->options; o && o->kind; o++)
        if (o->kind != CLI_T_HEADING)
            r->row[r->n++] = o;
    for (const cli_option *o = cli_common_options; o->kind; o++)
        r->row[r->n++] = o;
    for (int i = 0; i < n && !code; i++) {
        const cli_option *o = r->row[i];

        r->options[i] = (struct option){o->name, o->value ? required_argument : no_argument, NULL, FIRST + i};
        if (o->letter && at + 3 < sizeof r->letters) {
            r->letters[at++] = o->letter;
            if (o->value)
                r->letters[at++] = ':';
        }
        if (o->def)
            code = take(r, i, o->def);
    }
    return code;
}

/* The place of what getopt_long gave, -1 where it is none. */
static int place_of(const reader *r, int opt)
{
    if (opt >= FIRST && opt < FIRST + r->n)
        return opt - FIRST;
    for (int i = 0; i < r->n; i++)
        if (r->row[i]->letter && r->row[i]->letter == opt)
            return i;
    return -1;
}

/* Names that begin as the given one, as text; how many. */
static int same_beginning(const reader *r, const char *given, char *text, size_t n)
{
    const size_t length = strcspn(given, "=");
    size_t at = 0;
    int found = 0;

    *text = 0;
    for (int i = 0; i < r->n; i++)
        if (length && !strncmp(r->row[i]->name, given, length) && at < n) {
            at += (size_t)snprintf(text + at, n - at, "%s--%s", found ? ", " : "", r->row[i]->name);
            found++;
        }
    return found;
}

static int unknown(const reader *r, int argc, char **argv)
{
    const char *given = argv[optind - 1];
    const int known = optopt ? place_of(r, optopt) : -1;
    char text[600], letter[] = {'-', (char)optopt, 0};

    if (known >= 0)
        return cli_usage(r->command, "--%s takes no value", r->row[known]->name);
    if (optopt)
        return cli_usage(r->command, "unknown option '%s'", letter);
    if (same_beginning(r, given + 2, text, sizeof text) > 1)
        return cli_usage(r->command, "option '%s' may be %s", given, text);
    cli_nearest_option(r->command, given, optind < argc ? argv[optind] : NULL, text, sizeof text);
    return cli_usage(r->command, "unknown option '%s'%s", given, text);
}

static int read_options(reader *r, int argc, char **argv)
{
    int opt, i, code;

    optind = 1;
    while ((opt = getopt_long(argc, argv, r->letters, r->options, NULL)) != -1) {
        if (opt == '?')
            return unknown(r, argc, argv);
        if (opt == ':')
            return cli_usage(r->command, "option '%s' needs a value", argv[optind - 1]);
        if ((i = place_of(r, opt)) >= 0 && (code = take(r, i, optarg)))
            return code;
        cli_set_color(r->call->common.color);
        if (r->call->common.help) /* whatever else is there */
            return 0;
    }
    return 0;
}

/* Where an argument may be missing: key=value, and nothing of this name. */
static bool is_override(const char *given) { return strchr(given, '=') && access(given, F_OK); }

bool cli_is_left_out(const cli_argument *a, const char *given)
{
    return !a->ask && a[1].kind == CLI_T_CHOICE && cli_is_word(a[1].words, given, strlen(given));
}

/* argv[from ..] by the command's arguments: those before the overrides from the front, those behind them from the
 * end, what lies between are overrides. */
static int read_arguments(reader *r, int argc, char **argv, int from)
{
    const cli_argument *rows = r->command->arguments, *a = rows;
    cli_call *call = r->call;
    int behind = 0;

    for (; a && a->kind && a->kind != CLI_T_OVERRIDES; a++) {
        if (from == argc && a->ask)
            return cli_usage(r->command, "%s", a->ask);
        if (from < argc && cli_is_left_out(a, argv[from]))
            call->n_arguments++;
        else if (from < argc && (a->ask || a[1].kind != CLI_T_OVERRIDES || !is_override(argv[from]))) {
            call->argument[call->n_arguments++] = argv[from++];
            while (a->many && from < argc && !(a[1].kind == CLI_T_OVERRIDES && is_override(argv[from])))
                call->argument[call->n_arguments++] = argv[from++];
        }
    }
    if (!a || !a->kind)
        return from < argc ? cli_usage(r->command, "unexpected argument '%s'", argv[from]) : 0;
    for (const cli_argument *b = a + 1; b->kind; b++)
        behind++;
    if (argc - from < behind)
        return cli_usage(r->command, "%s", a[1 + argc - from].ask);
    for (; from < argc - behind; from++)
        call->overrides[call->n_overrides++] = argv[from];
    for (; from < argc; from++)
        call->argument[call->n_arguments++] = argv[from];
    return 0;
}

/* What a name of this kind is; NULL where any text will do. */
static const char *named(cli_kind kind)
{
    switch (kind) {
    case CLI_T_FILE: return "a file";
    case CLI_T_FOLDER: return "a folder";
    case CLI_T_RUN: return "a run's folder or a checkpoint";
    case CLI_T_PLUGIN: return "a kind of plugins, KIND/NAME or a plugin's file";
    default: return NULL;
    }
}

/* A variable of a script that was not set, most often: it stands neither for the folder here nor for nothing. */
static int check_names(const reader *r)
{
    int i = 0;

    for (const cli_argument *a = r->command->arguments; a && a->kind; a++) {
        if (a->kind == CLI_T_OVERRIDES)
            continue;
        for (int more = 1; more && i < r->call->n_arguments; more = a->many, i++)
            if (named(a->kind) && r->call->argument[i] && !*r->call->argument[i])
                return cli_usage(r->command, "%s is empty; give %s%s", a->name, named(a->kind),
                                 a->ask || a->many ? "" : ", or leave it out");
    }
    for (i = 0; i < r->n_own; i++) {
        const cli_option *o = r->row[i];
        const char *given = named(o->kind) ? *(const char *const *)(const void *)((char *)r->call->options + o->offset)
                                           : NULL;

        if (given && !*given)
            return cli_usage(r->command, "--%s is empty; give %s%s", o->name, named(o->kind),
                             cli_is_word(r->command->needed, o->name, strlen(o->name)) ? "" : ", or leave it out");
    }
    return 0;
}

static int check_words(const reader *r)
{
    char text[300], words[300];
    int i = 0;

    for (const cli_argument *a = r->command->arguments; a && a->kind && i < r->call->n_arguments; a++) {
        const char *given;

        if (a->kind == CLI_T_OVERRIDES)
            continue;
        given = r->call->argument[i++];
        if (!given || a->kind != CLI_T_CHOICE || cli_is_word(a->words, given, strlen(given)))
            continue;
        cli_nearest_word(a->words, given, text, sizeof text);
        cli_words_text(a->words, words, sizeof words);
        return cli_usage(r->command, "unexpected '%s'; it must be %s%s", given, words, text);
    }
    return 0;
}

static int check_needed(const reader *r)
{
    char missing[200] = "";
    size_t at = 0;

    for (int i = 0; i < r->n_own; i++) {
        const cli_option *o = r->row[i];

        if (!cli_is_word(r->command->needed, o->name, strlen(o->name)))
            continue;
        /* Text or a list, which begins with a pointer: NULL where it was not given. */
        if (!*(const char *const *)(const void *)((char *)r->call->options + o->offset) && at < sizeof missing)
            at += (size_t)snprintf(missing + at, sizeof missing - at, "%s--%s", at ? " and " : "", o->name);
    }
    return *missing ? cli_usage(r->command, strstr(missing, " and ") ? "%s are needed" : "%s is needed", missing) : 0;
}

static void release(reader *r)
{
    for (int i = 0; i < r->n_own; i++)
        if (r->row && r->row[i] && r->row[i]->kind == CLI_T_LIST)
            free(((cli_list *)(void *)((char *)r->call->options + r->row[i]->offset))->item);
    free(r->row);
    free(r->options);
    free(r->call->options);
    free(r->call->argument);
    free(r->call->overrides);
}

int cli_run(const cli_program *program, const cli_command *c, int argc, char **argv)
{
    cli_call call = {.program = program, .command = c, .argc = argc, .argv = argv};
    reader r = {.command = c, .call = &call};
    const dm_launch launch = dm_launch_read();
    int code;

    if (launch.rank > 0)
        cli_be_silent();
    if (launch.size > 1 && !c->ranks) {
        cli_error("%s started %d processes, but '%s' works in one; start it without, or, for each to work alone, set "
                  "DEMIST_MPI=off", launch.by, launch.size, c->name);
        return 2;
    }
    call.options = calloc(1, c->size + 1);
    call.argument = calloc((size_t)argc + 8, sizeof *call.argument);   /* rows that may be missing read as NULL */
    call.overrides = calloc((size_t)argc + 8, sizeof *call.overrides); /* and room for cli_put_override */
    if (!call.options || !call.argument || !call.overrides)
        code = cli_no_memory();
    else if (!(code = prepare(&r)) && !(code = read_options(&r, argc, argv))) {
        if (call.common.help)
            cli_put_help(stdout, c);
        else if (!(code = read_arguments(&r, argc, argv, optind)) && !(code = check_words(&r)) &&
                 !(code = check_names(&r)) &&
                 !(code = check_needed(&r)))
            code = c->run(&call);
    }
    release(&r);
    return code;
}
