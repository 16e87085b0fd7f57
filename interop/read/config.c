/* JSON configs; see config.h. */
#include "interop/read/config.h"

#include "base/file.h"
#include "base/json.h"
#include "text/suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 20 };

/* Python writes infinities, which JSON does not have: the largest number of as many letters. */
static void hold_infinities(char *text, size_t n)
{
    static const char word[] = "Infinity";
    bool in_string = false;

    for (size_t i = 0; i < n; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && n - i >= sizeof word - 1 && !memcmp(text + i, word, sizeof word - 1))
            memcpy(text + i, "1e300   ", sizeof word - 1);
    }
}

dm_status dm_config_open(dm_config *c, const char *path, dm_err *err)
{
    char *text;
    size_t n;
    dm_status rc;

    *c = (dm_config){0};
    if ((rc = dm_file_slurp(path, LIMIT, &text, &n, err)))
        return rc;
    hold_infinities(text, n);
    rc = dm_json_read(text, n, path, &c->root, err);
    free(text);
    if (rc)
        return rc;
    c->arena = dm_arena_new();
    if (!json_is_object(c->root))
        rc = dm_error(err, DM_ECORRUPT, "'%s' is not a JSON object", path);
    else if (!c->arena || !(c->path = dm_strdup(c->arena, path)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for '%s'", path);
    if (rc) {
        json_decref(c->root);
        dm_arena_free(c->arena);
    }
    return rc;
}

void dm_config_fail(dm_config *c, const char *key, const char *fmt, ...)
{
    char text[700];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!c->err.code)
        dm_error(&c->err, DM_EINVAL, "'%s': key '%s' %s", c->path, key, text);
}

static json_t *ask(dm_config *c, const char *key)
{
    if (c->n_asked < (int)(sizeof c->asked / sizeof c->asked[0]))
        c->asked[c->n_asked++] = key;
    return json_object_get(c->root, key);
}

void dm_config_ignore(dm_config *c, const char *key) { ask(c, key); }

static bool was_asked(const dm_config *c, const char *key, dm_nearest *near)
{
    for (int i = 0; i < c->n_asked; i++) {
        if (!strcmp(c->asked[i], key))
            return true;
        dm_nearest_try(near, c->asked[i]);
    }
    return false;
}

dm_status dm_config_end(dm_config *c, dm_err *err)
{
    dm_status rc;
    const char *key;
    json_t *v;

    json_object_foreach(c->root, key, v) {
        dm_nearest near;

        dm_nearest_init(&near, key);
        if (key[0] != '_' && !was_asked(c, key, &near))
            dm_config_fail(c, key, near.best ? "is not known; did you mean '%s'?" : "is not known%s",
                           near.best ? near.best : "");
    }
    rc = c->err.code;
    if (rc)
        dm_error(err, rc, "%s", c->err.msg);
    json_decref(c->root);
    dm_arena_free(c->arena);
    *c = (dm_config){0};
    return rc;
}

bool dm_config_has(dm_config *c, const char *key)
{
    const json_t *v = ask(c, key);

    return v && !json_is_null(v);
}

int64_t dm_config_int(dm_config *c, const char *key, int64_t def, int64_t min, int64_t max)
{
    const json_t *v = ask(c, key);
    const double r = json_number_value(v);
    int64_t n;

    if (!v)
        return def;
    n = json_is_real(v) ? (fabs(r) < 1e15 ? (int64_t)r : 0) : (int64_t)json_integer_value(v);
    if (!json_is_number(v) || (json_is_real(v) && r != (double)n))
        dm_config_fail(c, key, "must be an integer");
    else if (n < min || n > max)
        dm_config_fail(c, key, "is %lld; it must lie in [%lld, %lld]", (long long)n, (long long)min, (long long)max);
    else
        return n;
    return def;
}

int64_t dm_config_int_or_none(dm_config *c, const char *key, int64_t min, int64_t max)
{
    return dm_config_has(c, key) ? dm_config_int(c, key, 0, min, max) : 0;
}

double dm_config_real(dm_config *c, const char *key, double def)
{
    const json_t *v = ask(c, key);

    if (!v)
        return def;
    if (json_is_number(v) && isfinite(json_number_value(v)))
        return json_number_value(v);
    dm_config_fail(c, key, "must be a number");
    return def;
}

bool dm_config_bool(dm_config *c, const char *key, bool def)
{
    const json_t *v = ask(c, key);

    if (v && !json_is_boolean(v))
        dm_config_fail(c, key, "must be true or false");
    return v && json_is_boolean(v) ? json_is_true(v) : def;
}

int dm_config_choice(dm_config *c, const char *key, const char *def, const char *choices)
{
    const json_t *v = ask(c, key);
    const char *text = !v ? def : json_is_null(v) ? "null" : json_string_value(v);
    int at = 0;

    for (const char *p = choices; text; at++) {
        const size_t n = strcspn(p, "|");

        if (n == strlen(text) && !strncmp(p, text, n))
            return at;
        if (!p[n])
            break;
        p += n + 1;
    }
    dm_config_fail(c, key, "is '%.60s', which is not supported; use %s", text ? text : "?", choices);
    return 0;
}

const json_t *dm_config_list(dm_config *c, const char *key, size_t least, size_t most)
{
    const json_t *v = ask(c, key);

    if (!v)
        return NULL;
    if (json_is_array(v) && json_array_size(v) >= least && json_array_size(v) <= most)
        return v;
    dm_config_fail(c, key, "must be a list of %zu to %zu entries", least, most);
    return NULL;
}
