/* {"labels": [["00000/img00000000.png", 6], ...]}, as StyleGAN's tools write it beside images: a class, or numbers of
 * each; see table.h. */
#include "table.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* Memory that jansson takes at most for a value of each kind, what any text may take, and what a large one may, a byte
 * of it: lists of numbers of one digit. */
enum { OBJECT = 320, ARRAY = 160, VALUE = 64, SMALL = 16 << 20, RATIO = 33, MAX_JSON = 64 << 20 };
enum { MAX_WIDTH = 4096, MAX_CLASS = 999999 };

/* Of the values in the text; more, if some of it is in strings. */
static size_t cost_of(const char *text, size_t n)
{
    size_t cost = VALUE;

    for (size_t i = 0; i < n; i++)
        cost += text[i] == '{' ? OBJECT : text[i] == '[' ? ARRAY : text[i] == ',' || text[i] == ':' ? VALUE : 0;
    return cost;
}

static dm_status wrong(dm_ctx *c, const table *t, int64_t at, const char *what)
{
    return dm_fail(c, DM_ECORRUPT, "'%s': label %lld %s", t->path, (long long)at, what);
}

static dm_status add_numbers(dm_ctx *c, table *t, const json_t *list, int64_t at)
{
    dm_status s = DM_OK;

    for (size_t k = 0; k < json_array_size(list) && !s; k++) {
        const json_t *v = json_array_get(list, k);

        if (!json_is_number(v) || !(fabs(json_number_value(v)) < 1e38))
            return wrong(c, t, at, "has something else than numbers");
        s = table_add_number(c, t, json_number_value(v));
    }
    return s;
}

static dm_status add_label(dm_ctx *c, table *t, const json_t *pair, int64_t at)
{
    const char *file = json_string_value(json_array_get(pair, 0));
    const json_t *label = json_array_get(pair, 1);
    const size_t width = json_array_size(label);
    const json_int_t class = json_integer_value(label);
    char text[24];
    dm_status s;

    if (json_array_size(pair) != 2 || !file || !(json_is_integer(label) || json_is_array(label)))
        return wrong(c, t, at, "is not [file, number] or [file, [numbers]]");
    if (at == 0) {
        t->classes = json_is_integer(label);
        t->width = width <= MAX_WIDTH ? (int32_t)width : 0;
    }
    if (t->classes != json_is_integer(label) || (!t->classes && (!width || width != (size_t)t->width)))
        return wrong(c, t, at, "is not of the first one's kind, or has no numbers, or too many");
    if (t->classes && (class < 0 || class > MAX_CLASS))
        return wrong(c, t, at, "is a class that is not 0 to 999,999");
    snprintf(text, sizeof text, "%lld", (long long)class);
    s = table_add(c, t, file, t->classes ? text : NULL, at);
    return s ? s : add_numbers(c, t, label, at);
}

static dm_status add_labels(dm_ctx *c, table *t, const json_t *root)
{
    const json_t *labels = json_object_get(root, "labels");
    dm_status s = DM_OK;

    if (!json_is_array(labels))
        return dm_fail(c, DM_EINVAL, "'%s' has no labels: a member \"labels\", a list, is missing", t->path);
    for (size_t i = 0; i < json_array_size(labels) && !s; i++)
        s = add_label(c, t, json_array_get(labels, i), (int64_t)i);
    return s ? s : table_end(c, t);
}

dm_status table_parse_json(dm_ctx *c, const char *text, size_t n, table *t)
{
    const size_t cost = cost_of(text, n), mark = table_mark(text, n);
    json_error_t why;
    json_t *root;
    dm_status s;

    if (n > MAX_JSON || (cost > SMALL && (cost - SMALL) / RATIO > n))
        return dm_fail(c, DM_ECORRUPT,
                       "'%s': %zu bytes of JSON that could take %zu MB of memory are not read; a CSV table takes less",
                       t->path, n, cost >> 20);
    text += mark, n -= mark;
    if (!(root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why)))
        return json_error_code(&why) == json_error_out_of_memory
                   ? dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", t->path)
                   : dm_fail(c, DM_ECORRUPT, "'%s' is not JSON: %s in line %d", t->path, why.text, why.line);
    s = add_labels(c, t, root);
    json_decref(root);
    return s;
}
