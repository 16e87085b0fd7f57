/* Which keys of several experiments differ; see report.h. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "experiment/resolved_lines.h"
#include "run/run_paths.h"

enum { TEXT_BYTES = 1 << 20, ROWS = 1000 };

/* A key of any of them, and its value in each: NULL where it has none. */
typedef struct row { const char *key; const char **value; } row;

typedef struct keys { dm_arena *arena; row *row; int n; size_t room; bool left_out; } keys;

/* The row of a key, made behind the others where there is none; NULL when memory is exhausted. */
static row *row_of(keys *k, const char *key, int runs)
{
    row *r;

    for (int i = 0; i < k->n; i++)
        if (!strcmp(k->row[i].key, key))
            return &k->row[i];
    if (!dm_grow((void **)&k->row, (size_t)k->n, &k->room, sizeof *k->row))
        return NULL;
    r = &k->row[k->n];
    *r = (row){dm_strdup(k->arena, key), dm_alloc_n(k->arena, (size_t)runs, sizeof *r->value)};
    if (!r->key || !r->value)
        return NULL;
    k->n++;
    return r;
}

static bool read_keys(keys *k, const char *text, int run, int runs)
{
    dm_resolved_line l = {.section = ""};
    char key[DM_RESOLVED_KEY];

    while (dm_resolved_next(&text, &l)) {
        row *r;

        if (l.head || !l.length)
            continue;
        if (k->n == ROWS) {
            k->left_out = true;
            return true;
        }
        if (!(r = row_of(k, dm_resolved_key(&l, key), runs)) ||
            !(r->value[run] = dm_strndup(k->arena, l.value, (size_t)(l.value_length < 300 ? l.value_length : 300))))
            return false;
    }
    return true;
}

/* Where a run lies and what it is called differs always. */
static bool differs(const row *r, int runs)
{
    bool same = true;

    for (int i = 1; i < runs; i++)
        same &= !r->value[0] == !r->value[i] && (!r->value[0] || !strcmp(r->value[0], r->value[i]));
    return !same && strcmp(r->key, "name") != 0 && strcmp(r->key, "output") != 0;
}

static int put_rows(const comparison *c, const keys *k)
{
    FILE *f = c->run[0].to;
    int n = 0;

    for (int i = 0; i < k->n; i++) {
        if (!differs(&k->row[i], c->n))
            continue;
        if (!n++) {
            fputs("<table>\n<tr><th>key</th>", f);
            for (int run = 0; run < c->n; run++)
                html_cell(f, "th", c->title[run]);
            fputs("</tr>\n", f);
        }
        fputs("<tr>", f);
        html_cell(f, "th", k->row[i].key);
        for (int run = 0; run < c->n; run++)
            html_cell(f, "td", k->row[i].value[run] ? k->row[i].value[run] : "");
        fputs("</tr>\n", f);
    }
    if (n)
        fputs("</table>\n", f);
    return n;
}

void compare_keys(const comparison *c)
{
    keys k = {.arena = dm_arena_new()};
    FILE *f = c->run[0].to;
    bool whole = k.arena != NULL;

    html_section(f, "Keys that differ");
    for (int i = 0; i < c->n && whole; i++) {
        char *text = report_file(&c->run[i], DM_RUN_CONFIG, TEXT_BYTES, NULL);

        if (text)
            whole = read_keys(&k, text, i, c->n);
        free(text);
    }
    if (!whole)
        report_lacks(&c->run[0], "keys", &(dm_err){DM_ENOMEM, "out of memory"});
    else if (!put_rows(c, &k))
        html_say(f, "None except the runs' folders and names.");
    if (k.left_out)
        html_say(f, "The experiments have more than %d keys; the others are not compared.", ROWS);
    free(k.row);
    dm_arena_free(k.arena);
}
