/* Faults of an experiment, collected; see faults.h. */
#include "settings/faults.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 100, WIDEST = 100, MESSAGE = sizeof((dm_err *)0)->msg };

const char *dm_mark_text(dm_arena *a, dm_mark at)
{
    if (at.source->argument || !at.line)
        return at.source->name;
    return dm_sprintf(a, "%s:%u:%u", at.source->name, (unsigned)at.line, (unsigned)at.column);
}

void dm_faults_fini(dm_faults *f)
{
    free(f->text);
    free(f->notes);
    *f = (dm_faults){0};
}

static void append(dm_faults *f, char **text, const char *more)
{
    const size_t n = *text ? strlen(*text) : 0, m = strlen(more);
    char *grown = realloc(*text, n + m + 1);

    if (!grown) {
        f->lost = true;
        return;
    }
    memcpy(grown + n, more, m + 1);
    *text = grown;
}

/* Control characters could forge lines or drive a terminal. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = *s == '\t' ? ' ' : '?';
}

static bool continues(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* Bytes of the first `characters` characters of s, at most n. */
static size_t prefix(const char *s, size_t n, size_t characters)
{
    size_t i = 0;

    while (i < n && characters > 0) {
        i++;
        while (i < n && continues(s[i]))
            i++;
        characters--;
    }
    return i;
}

static bool find_line(const dm_origin *s, uint32_t line, const char **start, size_t *n)
{
    const char *p = s->text, *end = s->text ? s->text + s->n : NULL, *stop;

    if (!p || !line)
        return false;
    for (uint32_t i = 1; i < line; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return false;
        p++;
    }
    stop = memchr(p, '\n', (size_t)(end - p));
    if (!stop)
        stop = end;
    if (stop > p && stop[-1] == '\r')
        stop--;
    *start = p;
    *n = (size_t)(stop - p);
    return true;
}

dm_mark dm_mark_within(dm_mark at, uint32_t n)
{
    const dm_mark whole = at;
    const char *line;
    size_t length, from;

    if (!at.column || !n || !find_line(at.source, at.line, &line, &length))
        return whole;
    from = prefix(line, length, at.column - 1);
    if (from < length && strchr("|>&*!", line[from]))
        return whole;
    if (from < length && (line[from] == '"' || line[from] == '\'')) {
        const char quote = line[from++], *end = memchr(line + from, quote, length - from);
        const size_t inside = end ? (size_t)(end - line) - from : 0;

        if (!end || memchr(line + from, '\\', inside) || (end + 1 < line + length && end[1] == quote))
            return whole;
        length = from + inside;
        at.column++;
    }
    at.column += n - 1;
    return from + n - 1 <= length ? at : whole;
}

/* "  <line>\n  <spaces>^\n", a window of a long line. */
static void append_excerpt(dm_faults *f, dm_mark at)
{
    const char *line;
    char shown[4 * WIDEST + 8], caret[WIDEST + 8];
    size_t n, skip = 0, bytes, before = at.column ? at.column - 1 : 0;

    if (!find_line(at.source, at.line, &line, &n))
        return;
    if (before > WIDEST - 20) {
        skip = prefix(line, n, before - WIDEST / 2);
        before = WIDEST / 2;
    }
    bytes = prefix(line + skip, n - skip, WIDEST);
    if (bytes > 4 * WIDEST)
        bytes = 4 * WIDEST;
    snprintf(shown, sizeof shown, "%.*s", (int)bytes, line + skip);
    make_printable(shown);
    snprintf(caret, sizeof caret, "%*s^", (int)before, "");
    append(f, &f->text, "  ");
    append(f, &f->text, shown);
    append(f, &f->text, "\n  ");
    append(f, &f->text, caret);
    append(f, &f->text, "\n");
}

void dm_fault(dm_faults *f, dm_status code, dm_mark at, const char *fmt, ...)
{
    dm_arena *a = dm_arena_new();
    const char *place = a ? dm_mark_text(a, at) : NULL;
    char message[MESSAGE], line[2 * MESSAGE], *own;
    va_list ap;

    va_start(ap, fmt);
    if (vsnprintf(message, sizeof message, fmt, ap) < 0)
        message[0] = 0;
    va_end(ap);
    f->lost |= !place;
    place = place ? place : "experiment";
    own = message;
    if (!strncmp(own, place, strlen(place)) && !strncmp(own + strlen(place), ": ", 2)) /* an option called as the key */
        own += strlen(place) + 2;
    snprintf(line, sizeof line, "%.900s: error: %s", place, own);
    make_printable(line);
    dm_arena_free(a);
    if (f->count == 0)
        dm_error(&f->first, code, "%.*s", MESSAGE - 1, line);
    if (f->count++ < MOST) {
        append(f, &f->text, line);
        append(f, &f->text, "\n");
        append_excerpt(f, at);
    } else if (f->count == MOST + 1) {
        append(f, &f->text, "and more errors\n");
    }
}

void dm_fault_note(dm_faults *f, const char *fmt, ...)
{
    char line[MESSAGE];
    va_list ap;

    va_start(ap, fmt);
    if (vsnprintf(line, sizeof line - 1, fmt, ap) < 0)
        line[0] = 0;
    va_end(ap);
    make_printable(line);
    strcat(line, "\n");
    append(f, &f->notes, line);
}

dm_shown dm_show(const char *s)
{
    const size_t n = strlen(s), room = sizeof((dm_shown *)0)->text - 4;
    dm_shown out;
    size_t kept = n;

    if (n > room) {
        kept = room;
        while (kept > 0 && continues(s[kept]))
            kept--;
    }
    memcpy(out.text, s, kept);
    memcpy(out.text + kept, n > room ? "..." : "", n > room ? 4 : 1);
    make_printable(out.text);
    return out;
}
