/* An experiment as a file in which each key is told; see init.h. */
#include "init/init.h"

#include <string.h>

#include "base/error.h"
#include "plugin/registry.h"
#include "settings/param.h"

static const dm_kind kinds[DM_SEC_COUNT] = {[DM_SEC_DATA] = DM_KIND_DATASET, [DM_SEC_SCHEDULE] = DM_KIND_SCHEDULE,
                                            [DM_SEC_NETWORK] = DM_KIND_NETWORK, [DM_SEC_OBJECTIVE] = DM_KIND_OBJECTIVE,
                                            [DM_SEC_SAMPLER] = DM_KIND_SAMPLER, [DM_SEC_GUIDANCE] = DM_KIND_GUIDANCE};

static const char *value_of(const init_experiment *e, int section, const dm_param *p)
{
    for (int i = 0; i < e->n; i++)
        if ((int)e->value[i].section == section && !strcmp(e->value[i].key, p->name))
            return e->value[i].value;
    return p->def;
}

static dm_status print_rows(FILE *to, const init_experiment *e, int section, const dm_param *p, dm_arena *a,
                            dm_err *err)
{
    const char *indent = *dm_settings[section].name ? "  " : "";

    for (; p && p->type != DM_T_END; p++) {
        const bool text = p->type == DM_T_STRING || p->type == DM_T_PATH;
        const char *value = value_of(e, section, p), *shown = value && text ? dm_param_quote(value, a) : value;
        const char *range = p->type == DM_T_INT || p->type == DM_T_REAL ? dm_param_range(p, a) : "";

        if (!range || (value && !shown))
            return dm_error(err, DM_ENOMEM, "out of memory for an experiment's text");
        fprintf(to, "%s%s%s: %s  # %s", indent, value ? "" : "# ", p->name, value ? shown : "(needed)", p->doc);
        if (p->choices && !text)
            fprintf(to, " (%s)", p->choices);
        else if (*range)
            fprintf(to, ": %s", range);
        fprintf(to, "\n");
    }
    return DM_OK;
}

static dm_status print_section(FILE *to, const init_experiment *e, int section, dm_registry *r, dm_arena *a,
                               dm_err *err)
{
    const dm_settings_table *t = &dm_settings[section];
    const dm_plugin *p = NULL;
    dm_status rc;

    if (t->plugin && !e->use[section]) /* it may be absent */
        return DM_OK;
    if (t->plugin && (rc = dm_registry_get(r, kinds[section], e->use[section], &p, err)))
        return rc;
    if (*t->name)
        fprintf(to, "\n%s:  # %s%s%s\n", t->name, t->doc, section == DM_SEC_DATA && e->about ? ": " : "",
                section == DM_SEC_DATA && e->about ? e->about : "");
    if (p)
        fprintf(to, "  use: %s  # %s; demist plugins lists the others\n", p->name, p->doc);
    if (p && (rc = print_rows(to, e, section, p->params, a, err)))
        return rc;
    return print_rows(to, e, section, t->rows, a, err);
}

dm_status init_print(FILE *to, const init_experiment *e, dm_arena *a, dm_err *err)
{
    dm_registry *r = NULL;
    dm_status rc = dm_registry_new(NULL, &r, err);

    for (int s = 0; s < DM_SEC_COUNT && !rc; s++)
        rc = print_section(to, e, s, r, a, err);
    dm_registry_free(r);
    return rc;
}
