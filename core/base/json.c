/* JSON of others; see json.h. */
#include "base/json.h"

#include "base/file.h"
#include "text/json_text.h"

#include <stdlib.h>
#include <string.h>

/* What jansson needs at most for a value of each kind, and what any file may take. */
enum { OBJECT = 320, ARRAY = 160, VALUE = 160, SMALL = 16 << 20, RATIO = 8 };

/* Memory that the text could take, strings left out: these are no longer than the text. */
static size_t cost_of(const char *text, size_t n)
{
    size_t cost = VALUE;
    bool in_string = false;

    for (size_t i = 0; i < n; i++)
        if (in_string) {
            i += text[i] == '\\';
            in_string = i < n && text[i] != '"';
        } else {
            in_string = text[i] == '"';
            cost += text[i] == '{' ? OBJECT : text[i] == '[' ? ARRAY : text[i] == ',' || text[i] == ':' ? VALUE : 0;
        }
    return cost;
}

/* A parse that failed for want of memory says that the text is wrong, or goes on without a member. */
static dm_status load(const char *text, size_t n, json_t **out, json_error_t *why)
{
    *out = dm_json_load(text, n, JSON_REJECT_DUPLICATES, why);
    if (!dm_json_lost())
        return *out ? DM_OK : DM_ECORRUPT;
    json_decref(*out);
    *out = NULL;
    return DM_ENOMEM;
}

static bool is_costly(const char *text, size_t n, size_t *cost)
{
    *cost = cost_of(text, n);
    return *cost > SMALL && (*cost - SMALL) / RATIO > n;
}

dm_status dm_json_read(const char *text, size_t n, const char *path, json_t **out, dm_err *err)
{
    json_error_t why;
    dm_status rc;
    size_t cost;

    *out = NULL;
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* the mark that some editors put before UTF-8 */
        text += 3;
        n -= 3;
    }
    if (is_costly(text, n, &cost))
        return dm_error(err, DM_ECORRUPT, "'%s' is too large: its %zu bytes of JSON would take %zu MB of memory", path,
                        n, cost >> 20);
    if ((rc = load(text, n, out, &why)) == DM_ENOMEM)
        return dm_error(err, rc, "out of memory: reading '%s'", path);
    return rc ? dm_error(err, rc, "'%s' is not JSON: %s in line %d, byte %d%s", path, why.text, why.line, why.position,
                         dm_file_hint(text, n))
              : DM_OK;
}

/* ---- member by member ---------------------------------------------------------------------- */

typedef struct walk {
    const char *text, *path;
    size_t n, at, most;
    dm_err *err;
} walk;

static void skip_space(walk *w)
{
    while (w->at < w->n && memchr(" \t\r\n", w->text[w->at], 4))
        w->at++;
}

/* Past the value, or the name, that begins here, however it may look inside. */
static void skip_value(walk *w)
{
    bool in_string = false;

    for (int64_t depth = 0; w->at < w->n; w->at++) {
        const char c = w->text[w->at];

        if (in_string) {
            w->at += c == '\\' && w->at + 1 < w->n;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth && (c == '}' || c == ']')) {
            depth--;
        } else if (!depth && memchr(",:}]", c, 4)) {
            return;
        }
    }
}

static dm_status damaged(const walk *w, const char *what)
{
    return dm_error(w->err, DM_ECORRUPT, "'%s' is not JSON: %s at byte %zu", w->path, what, w->at);
}

/* "name": value as an object of its own. */
static dm_status take(walk *w, size_t from, dm_json_member *each, void *user)
{
    const size_t n = w->at - from;
    json_t *o = NULL, *value;
    json_error_t why;
    const char *key;
    char *one;
    size_t cost;
    dm_status rc = DM_ENOMEM;

    if (is_costly(w->text + from, n, &cost))
        return dm_error(w->err, DM_ECORRUPT, "'%s' is too large: the %zu bytes at byte %zu would take %zu MB of memory",
                        w->path,
                        n, from, cost >> 20);
    if ((one = malloc(n + 2))) {
        one[0] = '{';
        memcpy(one + 1, w->text + from, n);
        one[n + 1] = '}';
        rc = load(one, n + 2, &o, &why);
        free(one);
    }
    if (rc == DM_ENOMEM)
        return dm_error(w->err, rc, "out of memory: reading '%s'", w->path);
    if (rc)
        return dm_error(w->err, rc, "'%s' is not JSON: %s at byte %zu", w->path, why.text,
                        from + (size_t)(why.position > 0 ? why.position - 1 : 0));
    json_object_foreach(o, key, value)
        rc = rc ? rc : each(user, key, value, w->err);
    json_decref(o);
    return rc;
}

static dm_status walk_object(walk *w, dm_json_member *each, const char *within, dm_json_member *each_within,
                             void *user)
{
    const size_t length = within ? strlen(within) : 0;
    dm_status rc;

    if (w->at >= w->n || w->text[w->at++] != '{')
        return damaged(w, "'{' expected");
    for (skip_space(w); w->at < w->n && w->text[w->at] != '}'; skip_space(w)) {
        const size_t from = w->at;

        if (w->text[w->at] != '"')
            return damaged(w, "a name expected");
        skip_value(w);
        if (w->at >= w->n || w->text[w->at++] != ':')
            return damaged(w, "':' expected");
        skip_space(w);
        if (within && !strncmp(w->text + from + 1, within, length) && w->text[from + 1 + length] == '"' &&
            w->at < w->n && w->text[w->at] == '{') {
            if ((rc = walk_object(w, each_within, NULL, NULL, user)))
                return rc;
        } else {
            skip_value(w);
            if (w->at - from > w->most)
                return dm_error(w->err, DM_ECORRUPT, "'%s': the entry at byte %zu has %zu bytes; at most %zu are read",
                                w->path, from, w->at - from, w->most);
            if ((rc = take(w, from, each, user)))
                return rc;
        }
        skip_space(w);
        if (w->at >= w->n || !memchr(",}", w->text[w->at], 2))
            return damaged(w, "',' or '}' expected");
        if (w->text[w->at] == ',') {
            w->at++;
            skip_space(w);
            if (w->at >= w->n || w->text[w->at] != '"')
                return damaged(w, "a name expected");
        }
    }
    if (w->at >= w->n)
        return damaged(w, "'}' expected");
    w->at++;
    return DM_OK;
}

dm_status dm_json_members(const char *text, size_t n, size_t most, const char *path, dm_json_member *each,
                          const char *within, dm_json_member *each_within, void *user, dm_err *err)
{
    walk w = {.text = text, .path = path, .n = n, .most = most, .err = err};
    dm_status rc;

    skip_space(&w);
    if ((rc = walk_object(&w, each, within, each_within, user)))
        return rc;
    skip_space(&w);
    return w.at < n ? damaged(&w, "end of file expected") : DM_OK;
}
