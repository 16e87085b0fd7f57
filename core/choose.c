/* Which implementation an op gets: the first that serves, or what the user forces. */
#include "choices.h"

#include <string.h>

/* What `force` says of this op: the text after "op=", or a bare name for all ops; length in *n. */
static const char *forced(const char *force, const char *op, size_t *n)
{
    const char *bare = NULL;
    size_t bare_n = 0;

    for (const char *p = force; p && *p;) {
        const size_t len = strcspn(p, ",");
        const char *eq = memchr(p, '=', len);

        if (!eq) {
            bare = p;
            bare_n = len;
        } else if ((size_t)(eq - p) == strlen(op) && !strncmp(p, op, (size_t)(eq - p))) {
            *n = len - (size_t)(eq + 1 - p);
            return eq + 1;
        }
        p += len + (p[len] == ',');
    }
    *n = bare_n;
    return bare;
}

/* The first that serves, of those that may be used in a deterministic run if same. */
static const dm_impl *first(const dm_device_info *dev, const dm_opnode *node, bool same)
{
    const dm_impl *impl;

    for (int i = 0; (impl = dm_impl_at(node->kind, i)); i++)
        if (dm_impl_serves(impl, dev, node) && !(same && dm_impl_varies(impl)))
            return impl;
    return NULL;
}

dm_status dm_choose(const dm_device_info *dev, const dm_opnode *node, bool same, const char *force, const dm_impl **out, bool *was_forced,
                    dm_err *err)
{
    const char *op = dm_op_name(node->kind), *want;
    size_t want_n;
    const dm_impl *impl;
    bool exists = false;

    *out = NULL;
    *was_forced = false;
    want = forced(force, op, &want_n);
    for (int i = 0; want && (impl = dm_impl_at(node->kind, i)); i++)
        if (strlen(impl->name) == want_n && !strncmp(impl->name, want, want_n)) {
            exists = true;
            if (dm_impl_serves(impl, dev, node)) {
                *out = impl;
                *was_forced = true;
                return DM_OK;
            }
        }
    if (want && want > force && want[-1] == '=' && !exists)
        return dm_error(err, DM_EINVAL, "no implementation '%.*s' of %s", (int)want_n, want, op);
    if ((*out = first(dev, node, same)))
        return DM_OK;
    return dm_error(err, DM_EDEVICE, "no implementation of %s serves '%s'", op, dev->name);
}
