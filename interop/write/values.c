/* Values of a plugin's config; see values.h. */
#include "interop/write/values.h"

#include "settings/param.h"

#include <string.h>

static const void *find(const dm_section *s, const char *key, dm_type type, const dm_param **row)
{
    const dm_param *p = s->plugin ? dm_param_find(s->plugin->params, key) : NULL;

    if (!p || p->type != type || !s->cfg)
        return NULL;
    if (row)
        *row = p;
    return (const char *)s->cfg + p->offset;
}

int64_t dm_value_int(const dm_section *s, const char *key)
{
    const int64_t *v = find(s, key, DM_T_INT, NULL);

    return v ? *v : 0;
}

double dm_value_real(const dm_section *s, const char *key)
{
    const double *v = find(s, key, DM_T_REAL, NULL);

    return v ? *v : 0;
}

bool dm_value_bool(const dm_section *s, const char *key)
{
    const bool *v = find(s, key, DM_T_BOOL, NULL);

    return v && *v;
}

bool dm_value_is(const dm_section *s, const char *key, const char *choice)
{
    const dm_param *row;
    const int32_t *v = find(s, key, DM_T_ENUM, &row);
    const char *p = v ? row->choices : NULL;

    for (int32_t i = 0; p && i < *v; i++)
        p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL;
    return p && strcspn(p, "|") == strlen(choice) && !strncmp(p, choice, strlen(choice));
}

const dm_ints *dm_value_ints(const dm_section *s, const char *key) { return find(s, key, DM_T_INTS, NULL); }
const dm_reals *dm_value_reals(const dm_section *s, const char *key) { return find(s, key, DM_T_REALS, NULL); }
bool dm_uses(const dm_section *s, const char *plugin) { return s->plugin && !strcmp(s->plugin->name, plugin); }
