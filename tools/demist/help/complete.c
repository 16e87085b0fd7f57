/* What may be typed next; see complete.h. */
#include "help/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "options/keys.h"
#include "options/usage.h"

/* One candidate, where it begins as what is typed. */
typedef struct typed { const char *word; const char *before; } typed; /* before: "key=" of a value */

static void offer(const typed *t, const char *word, const char *help)
{
    if (!strncmp(word, t->word, strlen(t->word)))
        printf("%s%s\t%s\n", t->before, word, help);
}

static void offer_words(const typed *t, const char *words)
{
    char word[64];

    for (const char *p = words; p && *p; p += strcspn(p, "|"), p += *p == '|') {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(p, "|"), p);
        offer(t, word, "");
    }
}

static void offer_devices(const typed *t)
{
    dm_device_info *all;
    char place[32];
    dm_err ignored;
    int n;

    offer(t, "auto", "the best there is");
    offer(t, "cpu", "a processor");
    offer(t, "gpu", "a graphics processor");
    if (dm_device_list(&all, &n, &ignored))
        return;
    for (int i = 0; i < n; i++) {
        snprintf(place, sizeof place, "%d:%d", all[i].platform, all[i].device);
        offer(t, place, all[i].name);
    }
    free(all);
}

/* The names of a kind's plugins, DM_KIND_COUNT = of all as KIND/NAME. */
static void offer_plugins(const typed *t, dm_kind kind)
{
    const dm_found *found;
    dm_registry *r;
    char name[160];
    dm_err ignored;
    int n;

    if (dm_registry_new(NULL, &r, &ignored))
        return;
    if (dm_registry_list(r, &found, &n, &ignored))
        n = 0;
    for (int i = 0; i < n; i++) {
        if (!found[i].plugin || (kind != DM_KIND_COUNT && found[i].kind != kind))
            continue;
        snprintf(name, sizeof name, "%s%s%s", kind == DM_KIND_COUNT ? dm_kind_name(found[i].kind) : "",
                 kind == DM_KIND_COUNT ? "/" : "", found[i].name);
        offer(t, name, found[i].plugin->doc);
    }
    dm_registry_free(r);
}

static void offer_kinds(const typed *t)
{
    for (int k = 0; k < DM_KIND_COUNT; k++)
        offer(t, dm_kind_name(k), "");
}

static void offer_files(const typed *t, const char *what, const char *ends)
{
    printf(":%s%s%s%s\n", *t->before ? "value-" : "", what, ends ? " " : "", ends ? ends : "");
}

/* ---- key=value ----------------------------------------------------------------- */

typedef struct keys {
    const typed *typed;
    const char *path;              /* of values: the key */
    char (*seen)[160];             /* keys that were offered: several plugins may have one */
    int n, room;
    bool done;
} keys;

static bool is_new(keys *k, const char *path)
{
    for (int i = 0; i < k->n; i++)
        if (!strcmp(k->seen[i], path))
            return false;
    if (k->n == k->room) {
        void *more = realloc(k->seen, (size_t)(2 * k->room + 64) * sizeof *k->seen);

        if (!more)
            return true;
        k->seen = more;
        k->room = 2 * k->room + 64;
    }
    snprintf(k->seen[k->n++], sizeof k->seen[0], "%s", path);
    return true;
}

static void offer_key(void *user, const cli_key *key)
{
    keys *k = user;
    char word[170];

    if (!is_new(k, key->path))
        return;
    snprintf(word, sizeof word, "%s=", key->path);
    offer(k->typed, word, key->doc);
}

static void offer_values_of(void *user, const cli_key *key)
{
    keys *k = user;

    if (k->done || strcmp(key->path, k->path))
        return;
    k->done = true;
    if (!key->row)
        offer_plugins(k->typed, key->kind);
    else if (key->row->type == DM_T_ENUM || key->row->type == DM_T_ENUMS)
        offer_words(k->typed, key->row->choices);
    else if (key->row->type == DM_T_BOOL)
        offer_words(k->typed, "true|false");
    else if (key->row->type == DM_T_PATH)
        offer_files(k->typed, "files", NULL);
    else if (!strcmp(key->path, "device"))
        offer_devices(k->typed);
}

static void offer_override(const char *word, const char *without)
{
    const char *equals = strchr(word, '=');
    char path[160], before[170] = "";
    dm_registry *r = NULL;
    dm_err ignored;
    typed t = {word, before};
    keys k = {.typed = &t, .path = path};

    dm_registry_new(NULL, &r, &ignored);
    if (equals) {
        snprintf(path, sizeof path, "%.*s", (int)(equals - word), word);
        snprintf(before, sizeof before, "%s=", path);
        t.word = equals + 1;
        cli_each_key(r, without, offer_values_of, &k);
    } else {
        cli_each_key(r, without, offer_key, &k);
    }
    dm_registry_free(r);
    free(k.seen);
}

/* ---- commands and options -------------------------------------------------------- */

static void offer_value(const typed *t, cli_kind kind, const char *words)
{
    switch (kind) {
    case CLI_T_CHOICE: offer_words(t, words); break;
    case CLI_T_DEVICE: offer_devices(t); break;
    case CLI_T_PLUGIN_KIND: offer_kinds(t); break;
    case CLI_T_PLUGIN:
        offer_kinds(t);
        offer_plugins(t, DM_KIND_COUNT);
        offer_files(t, "files", ".so");
        break;
    case CLI_T_FILE: offer_files(t, "files", words); break;
    case CLI_T_RUN: offer_files(t, "files", ".safetensors"); break;
    case CLI_T_FOLDER: offer_files(t, "folders", NULL); break;
    case CLI_T_LIST: offer_override(t->word, NULL); break;
    default: break;
    }
}

static void offer_commands(const cli_program *program, const typed *t)
{
    for (int i = 0; program->commands[i]; i++)
        if (!program->commands[i]->hidden)
            offer(t, program->commands[i]->name, program->commands[i]->summary);
}

static void offer_options(const typed *t, const cli_option *rows)
{
    char name[80], help[600];

    for (const cli_option *o = rows; o && o->kind; o++) {
        if (o->kind == CLI_T_HEADING)
            continue;
        snprintf(name, sizeof name, "--%s", o->name);
        cli_option_help(o, help, sizeof help);
        offer(t, name, help);
    }
}

/* The option that a word names, "--out", "--out=x" or "-o"; NULL where it names none. */
static const cli_option *option_of(const cli_command *c, const char *word)
{
    const cli_option *const rows[] = {c->options, cli_common_options};

    for (int k = 0; k < 2 && *word == '-'; k++)
        for (const cli_option *o = rows[k]; o && o->kind; o++)
            if (o->kind != CLI_T_HEADING &&
                ((word[1] == '-' && strlen(o->name) == strcspn(word + 2, "=") &&
                  !strncmp(o->name, word + 2, strlen(o->name))) ||
                 (o->letter && word[1] == o->letter && !word[2])))
                return o;
    return NULL;
}

/* The row of the argument at this place. */
static const cli_argument *argument_at(const cli_command *c, int place)
{
    for (const cli_argument *a = c->arguments; a && a->kind; a++)
        if (a->many || place-- == 0)
            return a;
    return NULL;
}

static void offer_argument(const cli_program *program, const cli_command *c, int place, const char *word)
{
    const typed t = {word, ""};

    for (const cli_argument *a = argument_at(c, place); a && a->kind; a++) {
        if (a->kind == CLI_T_OVERRIDES)
            offer_override(word, a->words);
        else if (a->kind == CLI_T_COMMAND)
            offer_commands(program, &t);
        else
            offer_value(&t, a->kind, a->words);
        const bool may_be_left_out = !a->ask && a[1].kind == CLI_T_CHOICE;
        if (!may_be_left_out && (!a->many || strchr(word, '=')))
            return;
    }
}

void complete(const cli_program *program, const char *const *words, int n)
{
    const char *word = n ? words[n - 1] : "", *equals = strchr(word, '=');
    const cli_option *o;
    const cli_argument *a;
    const cli_command *c;
    const typed t = {word, ""};
    char before[100];
    int place = 0;

    if (n < 2) {
        offer_commands(program, &t);
        offer(&t, "help", "what a command does");
        offer(&t, "--help", "what there is");
        offer(&t, "--version", "which version");
        return;
    }
    if (!strcmp(words[0], "help"))
        offer_commands(program, &t);
    if (!(c = cli_find(program, words[0])))
        return;
    for (int i = 1; i < n - 1; i++) {
        if (*words[i] != '-' || !words[i][1])
            place += 1 + ((a = argument_at(c, place)) && cli_is_left_out(a, words[i]));
        else if ((o = option_of(c, words[i])) && o->value && !strchr(words[i], '=') && ++i == n - 1) {
            offer_value(&t, o->kind, o->words);
            return;
        }
    }
    if (!strncmp(word, "--", 2) && equals && (o = option_of(c, word))) {
        snprintf(before, sizeof before, "--%s=", o->name);
        offer_value(&(typed){equals + 1, before}, o->kind, o->words);
    } else if (*word == '-') {
        offer_options(&t, c->options);
        offer_options(&t, cli_common_options);
    } else {
        offer_argument(program, c, place, word);
    }
}
