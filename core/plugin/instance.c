/* A plugin at work; see instance.h. */
#define _GNU_SOURCE /* dladdr */
#include "plugin/instance.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kind.h"
#include "settings/param.h"

static const char *kind_of(const dm_plugin *p)
{
    return dm_kind_name(p->schedule    ? DM_KIND_SCHEDULE
                        : p->sampler   ? DM_KIND_SAMPLER
                        : p->network   ? DM_KIND_NETWORK
                        : p->objective ? DM_KIND_OBJECTIVE
                        : p->grid      ? DM_KIND_GRID
                        : p->guidance  ? DM_KIND_GUIDANCE
                                       : DM_KIND_DATASET);
}

/* "s: 0.5, u: 1"; NULL when memory ran out. */
static const char *print_settings(const dm_plugin *p, const void *cfg, dm_arena *a)
{
    const char *all = "";

    for (const dm_param *row = p->params; cfg && all && row && row->type != DM_T_END; row++) {
        const char *value = dm_param_print(row, cfg, a);

        all = value ? dm_sprintf(a, "%s%s%s: %s", all, *all ? ", " : "", row->name, value) : NULL;
    }
    return all;
}

dm_status dm_instance_init(dm_instance *i, const dm_plugin *p, const void *cfg, dm_services *s, dm_err *err)
{
    Dl_info from;

    *i = (dm_instance){.services = s, .cfg = cfg, .kind = kind_of(p)};
    if (!(i->arena = dm_arena_new()) || (p->self_size && !(i->self = calloc(1, p->self_size))) ||
        !(i->settings = print_settings(p, cfg, i->arena))) {
        dm_arena_free(i->arena);
        free(i->self);
        return dm_error(err, DM_ENOMEM, "out of memory for plugin '%s'", p->name);
    }
    i->file = dladdr(p, &from) && from.dli_fname ? from.dli_fname : "";
    i->plugin = p;
    i->ctx = (dm_ctx){.host = &s->api, .cfg = cfg, .self = i->self, .err = &i->err};
    return DM_OK;
}

bool dm_instance_static(const void *p)
{
    Dl_info from;

    return dladdr(p, &from) != 0;
}

void dm_instance_fini(dm_instance *i)
{
    if (!i->plugin)
        return;
    if (i->plugin->close) {
        dm_call_enter(i, DM_CB_CLOSE, &i->err);
        i->plugin->close(&i->ctx);
        dm_call_leave(DM_OK, NULL);
    }
    free(i->self);
    dm_arena_free(i->arena);
    i->self = NULL;
    i->plugin = NULL;
}

dm_ctx dm_instance_ctx(const dm_instance *i, dm_err *err)
{
    dm_ctx c = i->ctx;

    c.err = err;
    return c;
}
