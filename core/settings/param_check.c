/* Whether a table of parameter rows can be used at all; see param.h. */
#include "settings/param.h"

#include <math.h>
#include <string.h>

enum { MOST_ROWS = 256, LONGEST_NAME = 64, LARGEST_CFG = 1 << 20 };

bool dm_name_ok(const char *name)
{
    const size_t n = strlen(name);

    return n > 0 && n <= LONGEST_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static size_t alignment(const dm_param *row)
{
    switch (row->type) {
    case DM_T_BOOL: return _Alignof(bool);
    case DM_T_ENUM: return _Alignof(int32_t);
    case DM_T_INT: return _Alignof(int64_t);
    case DM_T_REAL: return _Alignof(double);
    case DM_T_INTS:
    case DM_T_ENUMS: return _Alignof(dm_ints);
    case DM_T_REALS: return _Alignof(dm_reals);
    default: return _Alignof(const char *);
    }
}

static dm_status check_choices(const dm_param *row, dm_err *err)
{
    if (!row->choices)
        return dm_error(err, DM_EINVAL, "parameter '%s' is an enum without choices", row->name);
    for (const char *p = row->choices;; p++) {
        const size_t n = strcspn(p, "|");

        if (!n || strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") < n)
            return dm_error(err, DM_EINVAL, "parameter '%s' has choices '%s'; names divided by '|' are allowed",
                            row->name, row->choices);
        for (const char *q = row->choices; q < p; q += strcspn(q, "|") + 1)
            if (strcspn(q, "|") == n && !memcmp(p, q, n))
                return dm_error(err, DM_EINVAL, "parameter '%s' has the choice '%.*s' twice", row->name, (int)n, p);
        p += n;
        if (!*p)
            return DM_OK;
    }
}

static dm_status check_row(const dm_param *row, uint32_t cfg_size, dm_err *err)
{
    const bool number =
        row->type == DM_T_INT || row->type == DM_T_REAL || row->type == DM_T_INTS || row->type == DM_T_REALS;
    dm_status rc;

    if (row->type < DM_T_INT || row->type > DM_T_ENUMS)
        return dm_error(err, DM_EINVAL, "a parameter has type %d, which is not known", (int)row->type);
    if (!row->name || !dm_name_ok(row->name))
        return dm_error(err, DM_EINVAL, "a parameter is named '%s'; a-z, 0-9 and _ are allowed",
                        row->name ? row->name : "");
    if (!row->doc || !*row->doc)
        return dm_error(err, DM_EINVAL, "parameter '%s' has no documentation", row->name);
    if (row->offset > cfg_size || dm_param_size(row) > cfg_size - row->offset || row->offset % alignment(row))
        return dm_error(err, DM_EINVAL, "parameter '%s' is at offset %u, outside the %u bytes of config or "
                                        "misaligned",
                        row->name, (unsigned)row->offset, (unsigned)cfg_size);
    if (number && !(row->min <= row->max))
        return dm_error(err, DM_EINVAL, "parameter '%s' has an empty range", row->name);
    if ((row->type == DM_T_ENUM || row->type == DM_T_ENUMS) && (rc = check_choices(row, err)))
        return rc;
    return DM_OK;
}

static dm_status check_pair(const dm_param *a, const dm_param *b, dm_err *err)
{
    if (!strcmp(a->name, b->name))
        return dm_error(err, DM_EINVAL, "duplicate parameter '%s'", a->name);
    if (a->offset < b->offset + dm_param_size(b) && b->offset < a->offset + dm_param_size(a))
        return dm_error(err, DM_EINVAL, "parameters '%s' and '%s' share bytes of the config", a->name, b->name);
    return DM_OK;
}

static dm_status check_default(const dm_param *row, dm_arena *a, void *cfg, dm_err *err)
{
    dm_err why;

    if (!row->def || !dm_param_set_text(row, row->def, "/", a, cfg, &why))
        return DM_OK;
    return dm_error(err, why.code, "default of parameter '%s': %s", row->name, why.msg);
}

static dm_status check_all(const dm_param *rows, uint32_t cfg_size, const dm_param *host, dm_arena *a, void *cfg,
                           dm_err *err)
{
    dm_status rc;

    for (int32_t i = 0; rows[i].type != DM_T_END; i++) {
        if (i == MOST_ROWS)
            return dm_error(err, DM_EINVAL, "more than %d parameters, or no DM_END after the last", MOST_ROWS);
        if ((rc = check_row(&rows[i], cfg_size, err)))
            return rc;
        if (!strcmp(rows[i].name, "use") || dm_param_find(host, rows[i].name))
            return dm_error(err, DM_EINVAL, "parameter '%s' has the name of a key of demist's own", rows[i].name);
        for (int32_t j = 0; j < i; j++)
            if ((rc = check_pair(&rows[j], &rows[i], err)))
                return rc;
        if ((rc = check_default(&rows[i], a, cfg, err)))
            return rc;
    }
    return DM_OK;
}

dm_status dm_param_check(const dm_param *rows, uint32_t cfg_size, const dm_param *host, dm_err *err)
{
    dm_arena *a;
    void *cfg;
    dm_status rc;

    if (cfg_size > LARGEST_CFG)
        return dm_error(err, DM_EINVAL, "config of %u bytes is larger than %d", (unsigned)cfg_size, LARGEST_CFG);
    if (!rows)
        return DM_OK;
    a = dm_arena_new();
    cfg = a ? dm_alloc(a, cfg_size) : NULL;
    rc = cfg ? check_all(rows, cfg_size, host, a, cfg, err) : dm_error(err, DM_ENOMEM, "out of memory");
    dm_arena_free(a);
    return rc;
}
