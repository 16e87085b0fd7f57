/* An experiment as resolved YAML, every default written out; see experiment.h. */
#include <stdlib.h>
#include <string.h>

#include "experiment/experiment_impl.h"

typedef struct text { char *p; size_t n, cap; bool lost; } text;

static void add(text *t, const char *s)
{
    for (; s && *s; s++) {
        if (!dm_grow((void **)&t->p, t->n + 1, &t->cap, 1)) {
            t->lost = true;
            return;
        }
        t->p[t->n++] = *s;
    }
    t->lost = t->lost || !s;
}

/* A comment ends with its line and must be UTF-8. */
static void add_comment(text *t, const char *s)
{
    char one[2] = "";

    add(t, "  # ");
    for (; *s; s++) {
        one[0] = *s < 0x20 || *s > 0x7e ? '?' : *s;
        add(t, one);
    }
}

static void add_rows(text *t, const dm_param *rows, const void *cfg, const char *const *from, const char *indent,
                     bool comments, dm_arena *a)
{
    for (int32_t i = 0; rows && rows[i].type != DM_T_END; i++) {
        add(t, indent);
        add(t, rows[i].name);
        add(t, ": ");
        add(t, dm_param_print(&rows[i], cfg, a));
        if (comments)
            add_comment(t, from[i]);
        add(t, "\n");
    }
}

static void add_section(text *t, dm_experiment *e, dm_section_id id, bool comments, dm_arena *a)
{
    const dm_settings_table *table = &dm_settings[id];
    const dm_section *s = &e->section[id];
    const char *indent = id == DM_SEC_RUN ? "" : "  ";

    if (table->plugin && !s->plugin)
        return;
    if (id != DM_SEC_RUN) {
        add(t, table->name);
        add(t, ":\n");
    }
    if (s->plugin) {
        add(t, "  use: ");
        add(t, s->plugin->name);
        add(t, "\n");
    }
    add_rows(t, table->rows, dm_section_settings(e, id), s->from, indent, comments, a);
    if (s->plugin && s->cfg)
        add_rows(t, s->plugin->params, s->cfg, s->from + dm_param_count(table->rows), indent, comments, a);
}

char *dm_experiment_print(const dm_experiment *e, bool comments)
{
    dm_experiment copy = *e;
    dm_arena *a = dm_arena_new();
    text t = {0};

    for (int id = 0; a && id < DM_SEC_COUNT; id++)
        add_section(&t, &copy, (dm_section_id)id, comments, a);
    dm_arena_free(a);
    if (!a || t.lost || !t.p) {
        free(t.p);
        return NULL;
    }
    t.p[t.n] = 0;
    return t.p;
}

void dm_experiment_differences(const dm_experiment *a, const dm_experiment *b, dm_section_id id,
                               void (*line)(void *user, const char *key, const char *a, const char *b), void *user)
{
    const dm_section *p = &a->section[id], *q = &b->section[id];
    dm_arena *arena = dm_arena_new();

    for (const dm_param *row = p->plugin == q->plugin && p->cfg && arena ? p->plugin->params : NULL; row && row->name;
         row++) {
        const char *x = dm_param_print(row, p->cfg, arena), *y = dm_param_print(row, q->cfg, arena);

        if (x && y && strcmp(x, y))
            line(user, row->name, x, y);
    }
    dm_arena_free(arena);
}
