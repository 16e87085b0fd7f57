/* Every key that an experiment may have; see keys.h. */
#include "options/keys.h"

#include <stdio.h>
#include <string.h>

typedef void (*each_fn)(void *user, const cli_key *key);

bool cli_is_word(const char *words, const char *word, size_t n)
{
    for (const char *p = words; p && *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == n && !strncmp(p, word, n))
            return true;
    return false;
}

static void give(cli_key *key, each_fn each, void *user)
{
    snprintf(key->path, sizeof key->path, "%s%s%s", key->section, *key->section ? "." : "", key->name);
    each(user, key);
}

static void give_rows(const char *section, const dm_param *rows, each_fn each, void *user)
{
    for (const dm_param *p = rows; p && p->type != DM_T_END; p++)
        give(&(cli_key){.section = section, .name = p->name, .row = p, .doc = p->doc}, each, user);
}

static dm_kind kind_of(dm_section_id section)
{
    dm_kind k = 0;

    while (k < DM_KIND_COUNT && dm_kind_section(k) != section)
        k++;
    return k;
}

void cli_each_key(dm_registry *r, const char *without, each_fn each, void *user)
{
    const dm_found *found = NULL;
    int n = 0;
    dm_err ignored;

    if (r && dm_registry_list(r, &found, &n, &ignored))
        n = 0;
    for (int s = 0; s < DM_SEC_COUNT; s++) {
        const dm_settings_table *t = &dm_settings[s];

        if (cli_is_word(without, t->name, strlen(t->name)))
            continue;
        if (t->plugin)
            give(&(cli_key){.section = t->name, .name = "use", .kind = kind_of(s), .doc = t->doc}, each, user);
        give_rows(t->name, t->rows, each, user);
        for (int i = 0; i < n; i++)
            if (found[i].plugin && t->plugin && found[i].kind == kind_of(s))
                give_rows(t->name, found[i].plugin->params, each, user);
    }
}
