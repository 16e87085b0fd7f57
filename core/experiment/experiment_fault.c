/* Faults that are found in an experiment later, shown at their keys; see experiment.h. */
#include "experiment/experiment_impl.h"

#include <stdio.h>
#include <string.h>

/* Whether a message is about this key: it begins with "key" or "section.key". */
static bool is_about(const char *message, const char *section, const char *key)
{
    size_t n = strlen(section);

    if (n && !strncmp(message, section, n) && message[n] == '.')
        message += n + 1;
    n = strlen(key);
    return !strncmp(message, key, n) && message[n] && strchr(":[, ", message[n]);
}

/* Whether it quotes the path that this row has. */
static bool quotes(const char *message, const dm_param *row, const void *cfg)
{
    const char *path = row->type == DM_T_PATH ? *(const char *const *)(const void *)((const char *)cfg + row->offset)
                                              : NULL,
               *at;

    return path && *path && (at = strstr(message, path)) && at > message && at[-1] == '\'';
}

/* The row that a message is about, by its place in marks; -1 if it is about none. */
static int32_t find_row(const dm_experiment *e, dm_section_id id, const char *message, const char **key)
{
    const dm_section *s = &e->section[id];
    dm_experiment copy = *e;
    const struct { const dm_param *rows; const void *cfg;
    } tables[] = {{dm_settings[id].rows, dm_section_settings(&copy, id)},
                  {s->plugin && s->cfg ? s->plugin->params : NULL, s->cfg}};

    for (int quoted = 0; quoted < 2; quoted++)
        for (int32_t k = 0, at = 0; k < 2; k++)
            for (const dm_param *row = tables[k].rows; row && row->type != DM_T_END; row++, at++)
                if (quoted ? quotes(message, row, tables[k].cfg) : is_about(message, dm_settings[id].name, row->name)) {
                    *key = row->name;
                    return at;
                }
    return -1;
}

/* The mark of a row's value, or of the character in it that a message names: "KEY: column N: ". */
static dm_mark place_of(dm_mark value, const char *message)
{
    const char *after = strstr(message, ": column ");
    unsigned n;

    return after && memchr(message, ':', (size_t)(after - message)) == NULL && sscanf(after, ": column %u:", &n) == 1
               ? dm_mark_within(value, n) : value;
}

/* The message without the "plugin 'NAME': " that callers who know no places put before it. */
static const char *own_words(const dm_section *s, const char *message)
{
    char prefix[96];
    const int n = snprintf(prefix, sizeof prefix, "plugin '%s': ", s->plugin ? s->plugin->name : "");

    return strncmp(message, prefix, (size_t)n) ? message : message + n;
}

/* The section whose key a message begins with, where it is another's: a grid may find fault with sampler.steps. */
static dm_section_id section_of(dm_section_id id, const char *message)
{
    for (int other = DM_SEC_RUN + 1; other < DM_SEC_COUNT; other++)
        for (const dm_param *row = dm_settings[other].rows; row->type != DM_T_END; row++)
            if (is_about(message, dm_settings[other].name, row->name) && strncmp(message, row->name, strlen(row->name)))
                return (dm_section_id)other;
    return id;
}

void dm_experiment_fault(const dm_experiment *e, dm_section_id id, const dm_err *why, dm_faults *f)
{
    const char *message = own_words(&e->section[id], why->msg), *key = NULL;
    const dm_section *s = &e->section[id = section_of(id, message)];
    const char *section = dm_settings[id].name;
    const size_t n = strlen(section);
    const bool named = n && !strncmp(message, section, n) && message[n] == '.'; /* it says its section itself */
    const dm_status code = why->code == DM_ENOENT ? DM_EINVAL : why->code; /* a name in the experiment */
    const int32_t row = s->marks ? find_row(e, id, message, &key) : -1;
    const dm_mark at = row < 0 ? s->use_at : place_of(s->marks[row], message);

    if (named || (row >= 0 && is_about(message, section, key)))
        dm_fault(f, code, at, "%s%s%s", named ? "" : section, n && !named ? "." : "", message);
    else if (row >= 0)
        dm_fault(f, code, at, "%s%s%s: %s", section, n ? "." : "", key, message);
    else
        dm_fault(f, code, at, "%s%s%s%s%s", section,
                 s->plugin ? ".use: "
                 : n       ? ": "
                           : "",
                 s->plugin ? s->plugin->name : "", s->plugin ? ": " : "", message);
}
