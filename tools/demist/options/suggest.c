/* What was meant; see suggest.h. */
#include "options/suggest.h"

#include <stdio.h>
#include <string.h>

#include "text/suggest.h"
#include "options/keys.h"

enum { SHOWN = 3 };                /* keys of one name that are told */

const char *cli_nearest_command(const cli_program *program, const char *name)
{
    dm_nearest near;

    dm_nearest_init(&near, name);
    for (int i = 0; program->commands[i]; i++)
        if (!program->commands[i]->hidden)
            dm_nearest_try(&near, program->commands[i]->name);
    return near.best;
}

void cli_nearest_word(const char *words, const char *given, char *text, size_t n)
{
    size_t best = SIZE_MAX;
    char word[64];

    *text = 0;
    for (const char *p = words; *p; p += strcspn(p, "|"), p += *p == '|') {
        dm_nearest near;

        snprintf(word, sizeof word, "%.*s", (int)strcspn(p, "|"), p);
        dm_nearest_init(&near, given);
        dm_nearest_try(&near, word);
        if (near.best && near.distance < best) {
            best = near.distance;
            snprintf(text, n, "; did you mean '%s'?", word);
        }
    }
}

typedef struct search {
    const char *name;              /* without the dashes, '_' for '-' */
    int n;                         /* keys of just this name or path */
    char exact[SHOWN][160];
    dm_nearest near;
    char best[160];                /* the path of the key that is nearest by its name */
} search;

static void look(void *user, const cli_key *key)
{
    search *s = user;
    const size_t before = s->near.distance;
    const bool is = !strcmp(key->name, s->name) || !strcmp(key->path, s->name);

    for (int i = 0; is && i < s->n; i++)
        if (!strcmp(s->exact[i], key->path)) /* another plugin has it too */
            return;
    if (is && s->n < SHOWN)
        snprintf(s->exact[s->n++], sizeof s->exact[0], "%s", key->path);
    dm_nearest_try(&s->near, strchr(s->name, '.') ? key->path : key->name);
    if (s->near.best && (s->near.distance < before || !*s->best))
        snprintf(s->best, sizeof s->best, "%s", key->path);
}

static const cli_argument *overrides_of(const cli_command *c)
{
    for (const cli_argument *a = c->arguments; a && a->kind; a++)
        if (a->kind == CLI_T_OVERRIDES)
            return a;
    return NULL;
}

static void find_keys(const cli_command *c, search *s)
{
    const cli_argument *a = overrides_of(c);
    dm_registry *r = NULL;
    dm_err ignored;

    if (!a)
        return;
    dm_registry_new(NULL, &r, &ignored); /* without it, the sections' own keys */
    cli_each_key(r, a->words, look, s);
    dm_registry_free(r);
}

static void try_options(const cli_option *rows, dm_nearest *near)
{
    for (const cli_option *o = rows; o && o->kind; o++)
        if (o->kind != CLI_T_HEADING)
            dm_nearest_try(near, o->name);
}

void cli_nearest_option(const cli_command *c, const char *given, const char *next, char *text, size_t n)
{
    static const size_t too_short = 3; /* a letter off makes another word of them */
    char name[160], key[160];
    const char *equals = strchr(given, '='), *value = equals ? equals + 1 : next;
    dm_nearest near;
    search s = {.name = key};
    size_t at;

    *text = 0;
    if (strncmp(given, "--", 2) || (size_t)snprintf(name, sizeof name, "%s", given + 2) >= sizeof name)
        return;
    name[strcspn(name, "=")] = 0;
    if (!*name)
        return;
    for (at = 0; at < sizeof name; at++)
        key[at] = name[at] == '-' ? '_' : name[at];
    if (!value || *value == '-' || (!equals && strchr(value, '=')))
        value = "...";
    dm_nearest_init(&s.near, key);
    find_keys(c, &s);
    dm_nearest_init(&near, name);
    try_options(c->options, &near);
    try_options(cli_common_options, &near);
    if (s.n) {
        at = (size_t)snprintf(text, n, "; did you mean the key %s=%s", s.exact[0], value);
        for (int i = 1; i < s.n && at < n; i++)
            at += (size_t)snprintf(text + at, n - at, "%s %s=%s", i == s.n - 1 ? " or" : ",", s.exact[i], value);
        if (at < n)
            snprintf(text + at, n - at, "?");
    } else if (strlen(name) <= too_short) {
        return;
    } else if (near.best) {
        snprintf(text, n, "; did you mean --%s?", near.best);
    } else if (*s.best) {
        snprintf(text, n, "; did you mean the key %s=%s?", s.best, value);
    }
}
