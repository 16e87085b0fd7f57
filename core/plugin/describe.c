/* Documentation from the tables; see describe.h. */
#include "plugin/describe.h"

#include <string.h>

#include "base/arena.h"
#include "text/plain_text.h"
#include "settings/param.h"

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory"); }

/* ---- text ------------------------------------------------------------------------ */

typedef struct widths { int name, type, value, range; } widths;

static int wider(int a, const char *s) { return (int)strlen(s) > a ? (int)strlen(s) : a; }

/* "= 0.5", or "required". An empty default is shown as "". */
static const char *value_text(const dm_param *row, dm_arena *a)
{
    return row->def ? dm_sprintf(a, "= %s", *row->def ? row->def : "\"\"") : "required";
}

static const char *range_text(const dm_param *row, dm_arena *a)
{
    const char *range = dm_param_range(row, a), *unit = row->unit ? row->unit : "";
    return range && *unit ? dm_sprintf(a, *range == '[' ? "%s %s" : "%s, in %s", range, unit) : range;
}

static bool measure(const dm_param *rows, dm_arena *a, widths *w)
{
    for (const dm_param *row = rows; row && row->type != DM_T_END; row++) {
        const char *value = value_text(row, a), *range = range_text(row, a);

        if (!value || !range)
            return false;
        w->name = wider(w->name, row->name);
        w->type = wider(w->type, dm_param_type(row));
        w->value = wider(w->value, value);
        w->range = wider(w->range, range);
    }
    return true;
}

static dm_status write_rows(FILE *to, const dm_param *rows, dm_err *err)
{
    dm_arena *a = dm_arena_new();
    widths w = {0};
    bool fits = a && measure(rows, a, &w);

    for (const dm_param *row = rows; fits && row && row->type != DM_T_END; row++) {
        const char *value = value_text(row, a), *range = range_text(row, a);

        fits = value && range;
        if (fits)
            fprintf(to, "  %-*s  %-*s  %-*s  %-*s  %s\n", w.name, row->name, w.type, dm_param_type(row), w.value,
                    value, w.range, range, row->doc);
    }
    dm_arena_free(a);
    return fits ? DM_OK : no_memory(err);
}

dm_status dm_describe_plugin(FILE *to, dm_kind kind, const dm_plugin *p, const char *file, dm_err *err)
{
    dm_status rc;

    fprintf(to, "%s %s: %s\n", dm_kind_name(kind), p->name, p->doc);
    rc = write_rows(to, p->params, err);
    fprintf(to, "  version %s, %s, plugin interface %u.%u\n", p->version, p->license, (unsigned)(p->abi >> 16),
            (unsigned)(p->abi & 0xffff));
    if (file) {
        fputs("  ", to);
        dm_plain_put(to, file);
        fputc('\n', to);
    }
    return rc;
}

dm_status dm_describe_section(FILE *to, dm_section_id id, dm_err *err)
{
    const dm_settings_table *t = &dm_settings[id];

    fprintf(to, "%s: %s\n", *t->name ? t->name : "top level", t->doc);
    return write_rows(to, t->rows, err);
}

/* Where it is from, unless it is one of demist's own, and what it hides. */
static void write_file(FILE *to, const dm_found *f, int width)
{
    if (!f->own) {
        fprintf(to, "  %*s  from ", width, "");
        dm_plain_put(to, f->file);
        fputc('\n', to);
    }
    if (!f->own && f->hides) {
        fprintf(to, "  %*s  hides ", width, "");
        dm_plain_put(to, f->hides);
        fputc('\n', to);
    }
}

dm_status dm_describe_list(FILE *to, dm_registry *r, dm_kind kind, int *n_refused, dm_err *err)
{
    const dm_found *list;
    dm_kind last = DM_KIND_COUNT;
    int n, width = 0, refused = 0;
    const dm_status rc = dm_registry_list(r, &list, &n, err);

    if (rc)
        return rc;
    for (int i = 0; i < n; i++)
        width = list[i].plugin ? wider(width, list[i].name) : width;
    for (int i = 0; i < n; i++) {
        if (!list[i].plugin || (kind != DM_KIND_COUNT && list[i].kind != kind))
            continue;
        if (list[i].kind != last)
            fprintf(to, "%s\n", dm_kind_folder(list[i].kind));
        last = list[i].kind;
        fprintf(to, "  %-*s  %s\n", width, list[i].name, list[i].plugin->doc);
        write_file(to, &list[i], width);
    }
    for (int i = 0; i < n; i++)
        if (!list[i].plugin)
            fprintf(to, "%s  %s\n", refused++ ? "" : "refused\n", list[i].refusal);
    *n_refused = refused;
    return DM_OK;
}

/* ---- Markdown ----------------------------------------------------------------------- */

/* Text into a cell of a table. */
static void write_cell(FILE *to, const char *s)
{
    for (; *s; s++) {
        if (*s == '|' || *s == '<' || *s == '*' || *s == '\\')
            fputc('\\', to);
        fputc(*s, to);
    }
}

/* Code in a cell: only the bar needs care. */
static void write_code(FILE *to, const char *s)
{
    if (!*s)
        return;
    fputc('`', to);
    for (; *s; s++)
        fprintf(to, "%s%c", *s == '|' ? "\\" : "", *s);
    fputc('`', to);
}

static dm_status write_table(FILE *to, const dm_param *rows, dm_err *err)
{
    dm_arena *a = dm_arena_new();
    bool fits = a != NULL;

    fprintf(to, "\n| key | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n");
    for (const dm_param *row = rows; fits && row->type != DM_T_END; row++) {
        const char *range = range_text(row, a);

        if (!(fits = range))
            break;
        fprintf(to, "| `%s` | %s | ", row->name, dm_param_type(row));
        if (row->def)
            write_code(to, *row->def ? row->def : "\"\"");
        else
            fprintf(to, "required");
        fprintf(to, " | ");
        write_code(to, range);
        fprintf(to, " | ");
        write_cell(to, row->doc);
        fprintf(to, " |\n");
    }
    dm_arena_free(a);
    return fits ? DM_OK : no_memory(err);
}

static dm_status write_plugins(FILE *to, dm_kind kind, const dm_found *list, int n, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int i = 0; i < n && !rc; i++) {
        const dm_plugin *p = list[i].plugin;

        if (!p || list[i].kind != kind)
            continue;
        fprintf(to, "\n### %s `%s`\n", dm_kind_name(kind), p->name);
        write_cell(to, p->doc);
        fprintf(to, ".\n");
        if (p->params && p->params->type != DM_T_END)
            rc = write_table(to, p->params, err);
    }
    return rc;
}

static dm_status write_section(FILE *to, dm_section_id id, const dm_found *list, int n, dm_err *err)
{
    const dm_settings_table *t = &dm_settings[id];
    dm_status rc = DM_OK;

    fprintf(to, "\n## %s%s%s\n%s.", *t->name ? "`" : "Top level", t->name, *t->name ? "`" : "", t->doc);
    if (t->plugin)
        fprintf(to, " `use` names the plugin; its keys are listed beside demist's own.");
    fprintf(to, "\n");
    if (t->rows->type != DM_T_END)
        rc = write_table(to, t->rows, err);
    for (int k = 0; k < DM_KIND_COUNT && !rc; k++)
        if (dm_kind_section((dm_kind)k) == id)
            rc = write_plugins(to, (dm_kind)k, list, n, err);
    return rc;
}

static const char intro[] =
    "# Config reference\n"
    "Generated from the tables that check an experiment; do not edit.\n"
    "\n"
    "An experiment is a YAML file: keys at the top level, and one map per section. A value's type is that of its key:\n"
    "`1e-4` is a real, only `true` and `false` are booleans, whole numbers are written in decimal. A list of one may\n"
    "be written without brackets. Unknown, repeated, missing and out-of-range keys are errors, all shown at once.\n"
    "\n"
    "- `include: base.yaml`, or a list of files, at the top level: those first, this file's keys over them.\n"
    "- Paths are relative to the file they are in; `output`, and paths in overrides, to the current directory.\n"
    "- Overrides on the command line: `sampler.steps=25`, `schedule.use=cosine`. Where `use` changes, in an override\n"
    "  or over an included file, the keys that only the former plugin took are dropped, and a line says which. Over a\n"
    "  run, whose file has every key, the new plugin has its own defaults but where something else was said.\n"
    "- A section that nothing needs may be absent: an objective that diffuses requires a schedule and a sampler.\n";

dm_status dm_describe_reference(FILE *to, dm_registry *r, dm_err *err)
{
    const dm_found *list;
    int n;
    dm_status rc = dm_registry_list(r, &list, &n, err);

    for (int i = 0; i < n && !rc; i++)
        if (list[i].code == DM_EIO) /* what is refused for what it is has no keys; this one may have */
            rc = dm_error(err, DM_EIO, "%s", list[i].refusal);
    if (!rc)
        fputs(intro, to);
    for (int id = 0; id < DM_SEC_COUNT && !rc; id++)
        rc = write_section(to, (dm_section_id)id, list, n, err);
    return rc;
}
