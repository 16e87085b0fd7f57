/* Values by their rows: from text into a field; see param.h. */
#include "settings/param.h"

#include <math.h>
#include <string.h>

#include "settings/faults.h"
#include "text/number.h"
#include "text/suggest.h"

enum { LONGEST_TEXT = 4096, LONGEST_LIST = 4096 };

static void *field(const dm_param *row, void *cfg) { return (char *)cfg + row->offset; }

static bool is_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(text, *words))
            return true;
    return false;
}

static bool is_null(const dm_scalar *s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    return !s->quoted && is_word(s->text, nulls);
}

static dm_status fail_range(const dm_param *row, const char *seen, dm_arena *a, dm_err *err)
{
    const char *range = dm_param_range(row, a), *unit = row->unit ? row->unit : "";
    double x;

    if (!range)
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (dm_number_real(seen, &x) == DM_NUMBER_OK && *range != '[' && (x > row->max || x < row->min) &&
        fabs(x > row->max ? row->max : row->min) >= 0x1p53) /* beyond an end that nobody means */
        return dm_error(err, DM_EINVAL, "%s is too %s (%s)", dm_show(seen).text, x > row->max ? "large" : "small",
                        row->doc);
    if (*range != '[')
        return dm_error(err, DM_EINVAL, "%s is out of range; it must be %s%s%s (%s)", dm_show(seen).text, range,
                        *unit ? ", in " : "", unit, row->doc);
    return dm_error(err, DM_EINVAL, "%s is outside %s%s%s (%s)", dm_show(seen).text, range, *unit ? " " : "", unit,
                    row->doc);
}

static dm_status fail_int(const char *text, dm_err *err)
{
    const char *hint = "";
    double real;

    if (strchr(text, '_') || strchr(text, ','))
        hint = "; write the digits without separators";
    else if (text[0] == '0' && text[1])
        hint = "; write it in decimal, without a leading 0";
    else if (dm_number_real(text, &real) == DM_NUMBER_OK)
        hint = "; write out the digits, without '.' or exponent";
    return dm_error(err, DM_EINVAL, "'%s' is not an integer%s", dm_show(text).text, hint);
}

static dm_status read_int(const dm_param *row, const char *text, dm_arena *a, int64_t *out, dm_err *err)
{
    int64_t v;

    switch (dm_number_int(text, &v)) {
    case DM_NUMBER_NONE: return fail_int(text, err);
    case DM_NUMBER_RANGE: return fail_range(row, text, a, err);
    case DM_NUMBER_OK: break;
    }
    if ((row->min > -0x1p63 && v < (int64_t)ceil(row->min)) || (row->max < 0x1p63 && v > (int64_t)floor(row->max)))
        return fail_range(row, text, a, err);
    *out = v;
    return DM_OK;
}

static dm_status fail_real(const char *text, dm_err *err)
{
    static const char *const odd[] = {".nan",  ".NaN",  ".NAN", "nan", "NaN",  ".inf",
                                      "-.inf", "+.inf", ".Inf", "inf", "-inf", NULL};
    const char *hint = "";

    if (is_word(text, odd))
        hint = "; it must be finite";
    else if (strchr(text, '_'))
        hint = "; write the digits without separators";
    else if (strchr(text, ','))
        hint = "; the decimal sign is '.'";
    return dm_error(err, DM_EINVAL, "'%s' is not a number%s", dm_show(text).text, hint);
}

static dm_status read_real(const dm_param *row, const char *text, dm_arena *a, double *out, dm_err *err)
{
    double v;

    switch (dm_number_real(text, &v)) {
    case DM_NUMBER_NONE: return fail_real(text, err);
    case DM_NUMBER_RANGE: return dm_error(err, DM_EINVAL, "'%s' is beyond double precision", dm_show(text).text);
    case DM_NUMBER_OK: break;
    }
    if (!(v >= row->min && v <= row->max))
        return fail_range(row, text, a, err);
    *out = v;
    return DM_OK;
}

static dm_status read_bool(const char *text, bool *out, dm_err *err)
{
    static const char *const yes[] = {"True", "TRUE", "yes", "Yes", "on", "On", "1", "y", NULL};
    static const char *const no[] = {"False", "FALSE", "no", "No", "off", "Off", "0", "n", NULL};
    const char *hint = is_word(text, yes) ? "; write true" : is_word(text, no) ? "; write false" : "";

    if (!strcmp(text, "true") || !strcmp(text, "false")) {
        *out = *text == 't';
        return DM_OK;
    }
    return dm_error(err, DM_EINVAL, "'%s' is neither true nor false%s", dm_show(text).text, hint);
}

static dm_status fail_choice(const dm_param *row, const char *text, dm_err *err)
{
    const char *const end = row->choices + strlen(row->choices);
    char names[512];
    dm_nearest near;

    if (strlen(row->choices) >= sizeof names)
        return dm_error(err, DM_EINVAL, "'%s' is not one of %s", dm_show(text).text, row->choices);
    dm_nearest_init(&near, text);
    snprintf(names, sizeof names, "%s", row->choices);
    for (char *p = names, *bar; p < names + (end - row->choices); p = bar + 1) {
        bar = p + strcspn(p, "|");
        *bar = 0;
        dm_nearest_try(&near, p);
    }
    return dm_error(err, DM_EINVAL, "'%s' is not one of %s%s%s%s (%s)", dm_show(text).text, row->choices,
                    near.best ? "; did you mean '" : "", near.best ? near.best : "", near.best ? "'?" : "", row->doc);
}

static dm_status read_choice(const dm_param *row, const char *text, int32_t *out, dm_err *err)
{
    int32_t index = 0;

    for (const char *p = row->choices;; index++) {
        const size_t n = strcspn(p, "|");

        if (strlen(text) == n && !memcmp(text, p, n)) {
            *out = index;
            return DM_OK;
        }
        if (!p[n])
            return fail_choice(row, text, err);
        p += n + 1;
    }
}

bool dm_text_is_utf8(const char *s)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s;

    while (*p) {
        const int more = *p < 0x80 ? 0 : *p < 0xc0 ? -1 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : *p < 0xf8 ? 3 : -1;
        uint32_t c = more > 0 ? *p & (0x3fu >> more) : *p;

        if (more < 0)
            return false;
        p++;
        for (int i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p & 0x3fu);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
    }
    return true;
}

static dm_status read_text(const char *text, dm_arena *a, const char **out, dm_err *err)
{
    if (strlen(text) > LONGEST_TEXT)
        return dm_error(err, DM_EINVAL, "'%s' is longer than %d bytes", dm_show(text).text, LONGEST_TEXT);
    *out = dm_strdup(a, text);
    return *out ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");
}

static dm_status read_path(const char *text, const char *dir, dm_arena *a, const char **out, dm_err *err)
{
    const char *path = text;

    if (*text && *text != '/') {
        if (!dir || *dir != '/')
            return dm_error(err, DM_EINVAL,
                            "path '%s' is relative to a folder that is not known; write an absolute path",
                            dm_show(text).text);
        while (path[0] == '.' && path[1] == '/')
            path += 2;
        path = dm_sprintf(a, "%s%s%s", dir, dir[1] ? "/" : "", path);
        if (!path)
            return dm_error(err, DM_ENOMEM, "out of memory");
    }
    if (!dm_text_is_utf8(path))
        return dm_error(err, DM_EINVAL, "path '%s' is not UTF-8", dm_show(path).text);
    return read_text(path, a, out, err);
}

static dm_status read_scalar(const dm_param *row, const dm_scalar *s, const char *dir, dm_arena *a, void *to,
                             dm_err *err)
{
    const bool is_choice = row->type == DM_T_ENUM || row->type == DM_T_ENUMS,
               is_text = row->type == DM_T_STRING || row->type == DM_T_PATH || is_choice;
    int32_t choice = 0; /* gcc 12 at -O3 does not see that it is read only where it was written */
    dm_status rc;

    if (is_null(s))
        return dm_error(err, DM_EINVAL, "has no value%s",
                        is_text && !is_choice ? "; write '' for an empty text, and quote one that begins with #" : "");
    if (s->quoted && !is_text)
        return dm_error(err, DM_EINVAL, "'%s' is quoted, so it is text; %s is expected, without quotes",
                        dm_show(s->text).text, row->type == DM_T_BOOL ? "true or false" : "a number");
    switch (row->type) {
    case DM_T_INT:
    case DM_T_INTS: return read_int(row, s->text, a, to, err);
    case DM_T_REAL:
    case DM_T_REALS: return read_real(row, s->text, a, to, err);
    case DM_T_BOOL: return read_bool(s->text, to, err);
    case DM_T_ENUM: return read_choice(row, s->text, to, err);
    case DM_T_ENUMS:
        if (!(rc = read_choice(row, s->text, &choice, err)))
            *(int64_t *)to = choice;
        return rc;
    case DM_T_STRING: return read_text(s->text, a, to, err);
    case DM_T_PATH: return read_path(s->text, dir, a, to, err);
    case DM_T_END: break;
    }
    return dm_error(err, DM_EINVAL, "type %d is not known", (int)row->type);
}

static dm_status read_list(const dm_param *row, const dm_param_value *v, dm_arena *a, void *to, int32_t *bad,
                           dm_err *err)
{
    const bool whole = row->type != DM_T_REALS;
    char *items;
    dm_status rc;

    if (v->n > LONGEST_LIST)
        return dm_error(err, DM_EINVAL, "a list of %d is longer than %d", (int)v->n, LONGEST_LIST);
    if (!(items = dm_alloc_n(a, (size_t)v->n, 8)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (int32_t i = 0; i < v->n; i++) {
        if ((rc = read_scalar(row, &v->item[i], NULL, a, items + 8 * (size_t)i, err))) {
            *bad = v->list ? i : -1;
            return rc;
        }
    }
    if (whole)
        *(dm_ints *)to = (dm_ints){v->n, (const int64_t *)(const void *)items};
    else
        *(dm_reals *)to = (dm_reals){v->n, (const double *)(const void *)items};
    return DM_OK;
}

/* One item of a list of texts, of n bytes, to *all, without the spaces around it. */
static dm_status join(char **all, const char *item, size_t n, int32_t i, dm_arena *a, dm_err *err)
{
    while (n && *item == ' ')
        item++, n--;
    while (n && item[n - 1] == ' ')
        n--;
    if (!n)
        return dm_error(err, DM_EINVAL, "item %d of the list is empty", (int)i + 1);
    if (n + (*all ? strlen(*all) : 0) >= LONGEST_TEXT)
        return dm_error(err, DM_EINVAL, "a list of texts is longer than %d bytes", LONGEST_TEXT);
    if (!(*all = dm_sprintf(a, "%s%s%.*s", *all ? *all : "", *all ? "," : "", (int)n, item)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    return DM_OK;
}

/* A list, or a text that has commas: "A, B". */
static dm_status read_texts(const dm_param *row, const dm_param_value *v, dm_arena *a, const char **out, int32_t *bad,
                            dm_err *err)
{
    const char *text = v->n ? v->item[0].text : NULL;
    char *all = NULL;
    dm_status rc = DM_OK;

    if (!v->n)
        return dm_error(err, DM_EINVAL, "is an empty list; write one item at least (%s)", row->doc);
    if (!v->list && !strchr(text, ','))
        return read_scalar(row, v->item, NULL, a, out, err);
    for (int32_t i = 0; !v->list && text && !rc; i++) {
        const size_t n = strcspn(text, ",");

        rc = join(&all, text, n, i, a, err);
        text = text[n] ? text + n + 1 : NULL;
    }
    for (int32_t i = 0; v->list && i < v->n && !rc; i++) {
        const char *item = "";

        *bad = i;
        if (!(rc = read_scalar(row, &v->item[i], NULL, a, &item, err)) && strchr(item, ','))
            rc = dm_error(err, DM_EINVAL, "'%s' has a comma; write each as an item of its own", dm_show(item).text);
        if (!rc)
            rc = join(&all, item, strlen(item), i, a, err);
    }
    if (!rc)
        *bad = -1;
    *out = all;
    return rc;
}

dm_status dm_param_set(const dm_param *row, const dm_param_value *v, const char *dir, dm_arena *a, void *cfg,
                       int32_t *bad, dm_err *err)
{
    int32_t ignored;

    if (!bad)
        bad = &ignored;
    *bad = -1;
    if (dm_param_is_list(row))
        return read_list(row, v, a, field(row, cfg), bad, err);
    if (dm_param_is_texts(row))
        return read_texts(row, v, a, field(row, cfg), bad, err);
    if (v->list)
        return dm_error(err, DM_EINVAL, "is a list; a single value is expected");
    return read_scalar(row, &v->item[0], dir, a, field(row, cfg), err);
}

/* "[a, b]" into items, in place. False if it is not written so. */
static bool split_list(char *text, dm_param_value *v, dm_scalar *items, int32_t most)
{
    const size_t n = strlen(text);
    char *p = text + 1;

    if (n < 2 || text[0] != '[' || text[n - 1] != ']')
        return false;
    text[n - 1] = 0;
    *v = (dm_param_value){true, 0, items};
    p += strspn(p, " ");
    while (*p) {
        char *end = p + strcspn(p, ","), *last = end;
        const bool more = *end == ',';

        while (last > p && last[-1] == ' ')
            last--;
        if (v->n == most)
            return false;
        *last = 0;
        items[v->n++] = (dm_scalar){p, false};
        if (!more)
            break;
        p = end + 1;
        p += strspn(p, " ");
    }
    return true;
}

dm_status dm_param_set_text(const dm_param *row, const char *text, const char *dir, dm_arena *a, void *cfg, dm_err *err)
{
    const bool is_text = row->type == DM_T_STRING || row->type == DM_T_PATH;
    dm_scalar one = {text, is_text}, items[64];
    dm_param_value v = {false, 1, &one};
    char *copy;

    if (dm_param_is_list(row)) {
        if (!(copy = dm_strdup(a, text)))
            return dm_error(err, DM_ENOMEM, "out of memory");
        if (!split_list(copy, &v, items, (int32_t)(sizeof items / sizeof items[0])))
            return dm_error(err, DM_EINVAL, "'%s' is not a list like [1, 2] of at most %zu", dm_show(text).text,
                            sizeof items / sizeof items[0]);
    }
    return dm_param_set(row, &v, dir, a, cfg, NULL, err);
}
