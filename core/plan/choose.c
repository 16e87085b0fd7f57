/* Which implementation an op gets: the first that preferred, or what the user forces. */
#include "plan/choices.h"

#include "graph/op_def.h"

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

/* Whether an op, or any op where it is "", has an implementation of this name. */
static bool known(const char *op, size_t op_n, const char *name, size_t n)
{
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const char *of = dm_op_name(k);

        if ((!op_n || (strlen(of) == op_n && !memcmp(of, op, op_n))) && dm_impl_named(k, name, n, NULL, NULL))
            return true;
    }
    return false;
}

dm_status dm_force_check(const char *force, dm_err *err)
{
    for (const char *p = force; p && *p;) {
        const size_t len = strcspn(p, ",");
        const char *eq = memchr(p, '=', len), *name = eq ? eq + 1 : p;
        const size_t op_n = eq ? (size_t)(eq - p) : 0, n = len - (size_t)(name - p);

        if (eq ? !op_n || !known(p, op_n, name, n) : len && !known("", 0, name, n))
            return dm_error(err, DM_EINVAL, "forced implementations (DEMIST_IMPL): there is no '%.*s'; "
                            "demist devices --implementations lists them", (int)len, p);
        p += len + (p[len] == ',');
    }
    return DM_OK;
}

static bool allowed(const dm_impl *impl, const dm_opnode *node, const dm_choices_options *o)
{
    return !o || (!(o->deterministic && impl->batch_dependent) && !dm_refused_has(o->refused, node, impl));
}

/* The first that is preferred, of those that o allows; where some were refused, also one that is meant for others. */
static const dm_impl *first(const dm_device_info *dev, const dm_opnode *node, const dm_choices_options *o)
{
    const char *name;
    const dm_impl *impl;

    for (int i = 0; (impl = dm_impl_at(node->kind, i)); i++)
        if (dm_impl_preferred(impl, dev, node, o && o->high) && allowed(impl, node, o))
            return impl;
    if (o && dm_refused_last(o->refused, node, &name))
        for (int i = 0; (impl = dm_impl_at(node->kind, i)); i++)
            if (dm_impl_supports(impl, dev, node) && allowed(impl, node, o))
                return impl;
    return NULL;
}

static dm_status none(const dm_device_info *dev, const dm_opnode *node, const dm_choices_options *o, dm_err *err)
{
    const char *op = dm_op_name(node->kind), *name, *why = o ? dm_refused_last(o->refused, node, &name) : NULL;

    if (!why)
        return dm_error(err, DM_EDEVICE, "no implementation of %s supports '%s'", op, dev->name);
    return dm_error(err, DM_EDEVICE, "no implementation of %s runs on '%s', the last, '%s', because: %s; DEMIST_IMPL="
                    "%s=NAME forces one of those that `demist devices --implementations` lists", op, dev->name, name,
                    why, op);
}

dm_status dm_choose(const dm_device_info *dev, const dm_opnode *node, const dm_choices_options *o, const char *force,
                    const dm_impl **out, bool *was_forced, dm_err *err)
{
    const char *op = dm_op_name(node->kind), *want;
    size_t want_n;
    const dm_impl *impl;

    *out = NULL;
    *was_forced = false;
    want = forced(force, op, &want_n);
    if (want && (impl = dm_impl_named(node->kind, want, want_n, dev, node))) {
        if (o && dm_refused_has(o->refused, node, impl))
            return none(dev, node, o, err);
        *out = impl;
        *was_forced = true;
        return DM_OK;
    }
    if ((*out = first(dev, node, o)))
        return DM_OK;
    return none(dev, node, o, err);
}
