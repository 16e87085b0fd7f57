/* One row for each option and each argument of a command, as plugins have for their parameters: from these rows come
 * parsing (parse.c), --help (usage.c), man pages and completion (help/). A row says where its value goes in the struct
 * of the command's options, and is checked against it when it is compiled. */
#ifndef DEMIST_CLI_OPTION_H
#define DEMIST_CLI_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include <demist/plugin.h>

/* What a value is, and with that what completion offers. */
typedef enum cli_kind {
    CLI_T_END,
    CLI_T_HEADING,                 /* no option: a line of the help above those that follow */
    CLI_T_FLAG,                    /* bool; takes no value */
    CLI_T_FOR_KEY,                 /* takes no value and stands for the override in `words` */
    CLI_T_NUMBER,                  /* int64_t in [min, max] */
    CLI_T_CHOICE,                  /* const char *, one of `words`, "a|b|c" */
    CLI_T_TEXT,                    /* const char *, as are those below */
    CLI_T_FILE,                    /* `words`: what its name ends in, ".png|.safetensors"; NULL = anything */
    CLI_T_FOLDER,
    CLI_T_RUN,                     /* a run's folder or a checkpoint */
    CLI_T_DEVICE,
    CLI_T_PLUGIN_KIND,
    CLI_T_PLUGIN,                  /* KIND, KIND/NAME or a file */
    CLI_T_LIST,                    /* cli_list: given at most `max` times */
    CLI_T_OVERRIDES,               /* arguments alone: key=value ...; `words`: sections that mean nothing there */
    CLI_T_COMMAND                  /* arguments alone: the name of a command */
} cli_kind;

typedef struct cli_list { const char **item; int n; } cli_list;

typedef struct cli_option {
    cli_kind kind;
    const char *name;              /* "steps" is --steps */
    char letter;                   /* 's' is -s; 0 = none */
    const char *value;             /* what its value is called in the help, as "N"; NULL where it takes none */
    uint32_t offset;               /* where the value lands in the command's struct */
    int64_t min, max;
    const char *words;
    const char *def;               /* parsed like a given value; NULL = the field stays 0 */
    const char *help;              /* one line, lower case; it is wrapped where it is shown */
} cli_option;

#define CLI_HEADING(help) {CLI_T_HEADING, "", 0, 0, 0, 0, 0, 0, 0, help}
#define CLI_FLAG(S, f, name, help) {CLI_T_FLAG, name, 0, 0, DM_AT(S, f, bool), 0, 0, 0, 0, help}
#define CLI_SHORT_FLAG(S, f, name, letter, help) {CLI_T_FLAG, name, letter, 0, DM_AT(S, f, bool), 0, 0, 0, 0, help}
#define CLI_FOR_KEY(name, override, help) {CLI_T_FOR_KEY, name, 0, 0, 0, 0, 0, override, 0, help}
#define CLI_NUMBER(S, f, name, value, min, max, def, help)                                                             \
    {CLI_T_NUMBER, name, 0, value, DM_AT(S, f, int64_t), min, max, 0, def, help}
#define CLI_CHOICE(S, f, name, value, words, def, help)                                                                \
    {CLI_T_CHOICE, name, 0, value, DM_AT(S, f, const char *), 0, 0, words, def, help}
#define CLI_STRING(S, f, kind, name, letter, value, words, help)                                                       \
    {kind, name, letter, value, DM_AT(S, f, const char *), 0, 0, words, 0, help}
#define CLI_TEXT(S, f, name, value, help) CLI_STRING(S, f, CLI_T_TEXT, name, 0, value, 0, help)
#define CLI_FILE(S, f, name, value, ends, help) CLI_STRING(S, f, CLI_T_FILE, name, 0, value, ends, help)
#define CLI_DEVICE(S, f, help) {CLI_T_DEVICE, "device", 0, "D", DM_AT(S, f, const char *), 0, 0, 0, "auto", help}
#define CLI_LIST(S, f, name, value, most, help)                                                                        \
    {CLI_T_LIST, name, 0, value, DM_AT(S, f, cli_list), 0, most, 0, 0, help}
#define CLI_END {CLI_T_END, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* What stands on the command line without dashes, in this order. */
typedef struct cli_argument {
    cli_kind kind;
    const char *name;              /* as the help has it: "RUN" */
    const char *words;             /* as in an option */
    const char *ask;               /* said where it is missing: "give a run"; NULL = it may be */
    bool many;                     /* all that follow, those with '=' aside */
} cli_argument;

#endif
