/* Lines of a resolved experiment; see resolved_lines.h. */
#include "experiment/resolved_lines.h"

#include <stdio.h>
#include <string.h>

bool dm_resolved_next(const char **at, dm_resolved_line *l)
{
    const char *s = *at;
    const size_t n = strcspn(s, "\n"), indent = strspn(s, " ");

    if (!*s)
        return false;
    *at = s + n + (s[n] == '\n');
    l->text = l->key = s + indent;
    l->length = (int)(n - indent);
    l->key_length = (int)strcspn(l->key, ":\n");
    l->value = l->key + l->key_length;
    l->value += l->value < s + n; /* the colon; without one the line ends there */
    l->value += l->value < s + n && *l->value == ' ';
    l->value_length = (int)(s + n - l->value);
    l->head = !indent && !l->value_length;
    if (!indent)
        snprintf(l->section, sizeof l->section, "%.*s", l->head ? l->key_length : 0, l->key);
    return true;
}

const char *dm_resolved_key(const dm_resolved_line *l, char key[DM_RESOLVED_KEY])
{
    const bool within = *l->section && !l->head;

    snprintf(key, DM_RESOLVED_KEY, "%s%s%.*s", within ? l->section : "", within ? "." : "", l->key_length, l->key);
    return key;
}
