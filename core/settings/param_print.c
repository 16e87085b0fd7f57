/* Values by their rows: from a field back to text, and what a row allows; see param.h. */
#include "settings/param.h"

#include <math.h>
#include <string.h>

#include "text/number.h"

const char *dm_param_type(const dm_param *row)
{
    static const char *const names[] = {"",     "int",  "real",        "bool",        "enum",
                                        "text", "path", "list of int", "list of real",
                                        "list of enum"};

    if (dm_param_is_texts(row))
        return "text or list of text";
    return row->type >= DM_T_INT && row->type <= DM_T_ENUMS ? names[row->type] : "";
}

bool dm_param_is_texts(const dm_param *row)
{
    return row->type == DM_T_STRING && row->choices && !strcmp(row->choices, ",");
}

size_t dm_param_size(const dm_param *row)
{
    switch (row->type) {
    case DM_T_INT: return sizeof(int64_t);
    case DM_T_REAL: return sizeof(double);
    case DM_T_BOOL: return sizeof(bool);
    case DM_T_ENUM: return sizeof(int32_t);
    case DM_T_STRING:
    case DM_T_PATH: return sizeof(const char *);
    case DM_T_INTS:
    case DM_T_ENUMS: return sizeof(dm_ints);
    case DM_T_REALS: return sizeof(dm_reals);
    case DM_T_END: break;
    }
    return 0;
}

const dm_param *dm_param_find(const dm_param *rows, const char *name)
{
    for (const dm_param *r = rows; r && r->type != DM_T_END; r++)
        if (!strcmp(r->name, name))
            return r;
    return NULL;
}

int32_t dm_param_count(const dm_param *rows)
{
    int32_t n = 0;

    while (rows && rows[n].type != DM_T_END)
        n++;
    return n;
}

/* No number that a person means lies beyond: whole ones end there, and tables say "any" so or by an infinity. */
static bool is_open(double end) { return fabs(end) >= 0x1p53; }

char *dm_param_range(const dm_param *row, dm_arena *a)
{
    char lo[DM_NUMBER_TEXT], hi[DM_NUMBER_TEXT];

    switch (row->type) {
    case DM_T_INT:
    case DM_T_REAL:
    case DM_T_INTS:
    case DM_T_REALS:
        if (is_open(row->min) && is_open(row->max))
            return dm_strdup(a, "any");
        if (is_open(row->max))
            return dm_sprintf(a, "%s or above", dm_number_write(row->min, lo));
        if (is_open(row->min))
            return dm_sprintf(a, "%s or below", dm_number_write(row->max, hi));
        return dm_sprintf(a, "[%s, %s]", dm_number_write(row->min, lo), dm_number_write(row->max, hi));
    case DM_T_ENUM:
    case DM_T_ENUMS: return dm_strdup(a, row->choices);
    default: return dm_strdup(a, "");
    }
}

/* Nothing that YAML gives a meaning, so that the text may stand without quotes. */
static bool is_plain(const char *s)
{
    static const char start[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-+:";
    const size_t n = strlen(s);

    if (!n || !strchr(start, *s) || s[n - 1] == ':' || !strcmp(s, "...") || strspn(s, rest) != n)
        return false;
    return strcmp(s, "null") && strcmp(s, "Null") && strcmp(s, "NULL");
}

/* Characters that YAML does not print, or takes for line ends: C1 controls, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF. */
static uint32_t unprintable(const unsigned char *p)
{
    if (p[0] == 0xc2 && p[1] < 0xa0)
        return p[1];
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 0x2000u | (p[2] & 0x3fu);
    if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        return 0xfeff;
    if (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe)
        return 0xffc0u | (p[2] & 0x3fu);
    return 0;
}

char *dm_param_quote(const char *text, dm_arena *a)
{
    char *out, *to;

    if (is_plain(text))
        return dm_strdup(a, text);
    if (!(out = to = dm_alloc(a, 6 * strlen(text) + 3)))
        return NULL;
    *to++ = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        const uint32_t odd = unprintable(p);

        if (*p == '"' || *p == '\\') {
            *to++ = '\\';
            *to++ = (char)*p;
        } else if (*p < 0x20 || *p == 0x7f) {
            to += snprintf(to, 5, "\\x%02X", (unsigned)*p);
        } else if (odd) {
            to += snprintf(to, 7, "\\u%04X", (unsigned)odd);
            p += odd < 0x100 ? 1 : 2;
        } else {
            *to++ = (char)*p;
        }
    }
    *to++ = '"';
    *to = 0;
    return out;
}

static char *print_list(const dm_param *row, const void *from, dm_arena *a)
{
    const dm_ints *ints = from;
    const dm_reals *reals = from;
    const bool whole = row->type == DM_T_INTS;
    const int32_t n = whole ? ints->n : reals->n;
    char *out = dm_alloc_n(a, (size_t)n + 1, DM_NUMBER_TEXT), *to = out, buf[DM_NUMBER_TEXT];

    if (!out)
        return NULL;
    *to++ = '[';
    for (int32_t i = 0; i < n; i++) {
        if (whole)
            snprintf(buf, sizeof buf, "%lld", (long long)ints->v[i]);
        else
            dm_number_write(reals->v[i], buf);
        to += snprintf(to, DM_NUMBER_TEXT, "%s%s", i ? ", " : "", buf);
    }
    *to++ = ']';
    *to = 0;
    return out;
}

static const char *choice_at(const dm_param *row, int64_t index)
{
    const char *p = row->choices;

    while (index-- > 0) {
        p += strcspn(p, "|");
        p += *p == '|';
    }
    return p;
}

static char *print_choice(const dm_param *row, int32_t index, dm_arena *a)
{
    const char *p = choice_at(row, index);

    return dm_strndup(a, p, strcspn(p, "|"));
}

static char *print_choices(const dm_param *row, const dm_ints *list, dm_arena *a)
{
    char *out = dm_strdup(a, "[");

    for (int32_t i = 0; i < list->n && out; i++) {
        const char *p = choice_at(row, list->v[i]);

        out = dm_sprintf(a, "%s%s%.*s", out, i ? ", " : "", (int)strcspn(p, "|"), p);
    }
    return out ? dm_sprintf(a, "%s]", out) : NULL;
}

static char *print_texts(const char *text, dm_arena *a)
{
    char *out = NULL;

    for (const char *at = text; at; at = at[strcspn(at, ",")] ? at + strcspn(at, ",") + 1 : NULL) {
        char *item = dm_strndup(a, at, strcspn(at, ","));

        if (!item || !(item = dm_param_quote(item, a)) ||
            !(out = dm_sprintf(a, "%s%s%s", out ? out : "[", out ? ", " : "", item)))
            return NULL;
    }
    return dm_sprintf(a, "%s]", out);
}

char *dm_param_print(const dm_param *row, const void *cfg, dm_arena *a)
{
    const void *from = (const char *)cfg + row->offset;
    char buf[DM_NUMBER_TEXT];

    switch (row->type) {
    case DM_T_INT: return dm_sprintf(a, "%lld", (long long)*(const int64_t *)from);
    case DM_T_REAL: return dm_strdup(a, dm_number_write(*(const double *)from, buf));
    case DM_T_BOOL: return dm_strdup(a, *(const bool *)from ? "true" : "false");
    case DM_T_ENUM: return print_choice(row, *(const int32_t *)from, a);
    case DM_T_STRING:
        if (dm_param_is_texts(row) && strchr(*(const char *const *)from, ','))
            return print_texts(*(const char *const *)from, a);
        return dm_param_quote(*(const char *const *)from, a);
    case DM_T_PATH: return dm_param_quote(*(const char *const *)from, a);
    case DM_T_INTS:
    case DM_T_REALS: return print_list(row, from, a);
    case DM_T_ENUMS: return print_choices(row, from, a);
    case DM_T_END: break;
    }
    return dm_strdup(a, "");
}
