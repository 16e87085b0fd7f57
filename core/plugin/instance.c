/* A plugin at work; see instance.h. */
#include "plugin/instance.h"

#include <stdlib.h>
#include <string.h>

dm_status dm_instance_init(dm_instance *i, const dm_plugin *p, const void *cfg, dm_services *s, dm_err *err)
{
    *i = (dm_instance){.services = s, .cfg = cfg};
    if (p->self_size && !(i->self = calloc(1, p->self_size)))
        return dm_error(err, DM_ENOMEM, "out of memory for plugin '%s'", p->name);
    i->plugin = p;
    i->ctx = (dm_ctx){.host = &s->api, .cfg = cfg, .self = i->self, .err = &i->err};
    return DM_OK;
}

void dm_instance_fini(dm_instance *i)
{
    if (!i->plugin)
        return;
    if (i->plugin->close)
        i->plugin->close(&i->ctx);
    free(i->self);
    i->self = NULL;
    i->plugin = NULL;
}

dm_ctx dm_instance_ctx(const dm_instance *i, dm_err *err)
{
    dm_ctx c = i->ctx;

    c.err = err;
    return c;
}

dm_status dm_instance_fail(const dm_instance *i, dm_err *err)
{
    if (!i->err.code)
        return dm_error(err, DM_EINVAL, "plugin '%s' failed without a reason", i->plugin->name);
    return dm_error(err, i->err.code, "plugin '%s': %s", i->plugin->name, i->err.msg);
}
