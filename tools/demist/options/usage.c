/* What --help says; see usage.h. */
#include "options/usage.h"

#include <stdarg.h>
#include <string.h>

#include "options/keys.h"

enum { COLUMNS = 100, DEEPEST = 28 }; /* of the text; where an option's help begins at the latest */

static void put_argument(FILE *to, const cli_argument *a)
{
    const bool open = !a->ask || a->kind == CLI_T_OVERRIDES;

    fprintf(to, " %s%s%s%s", open ? "[" : "", a->name, a->many ? " ..." : "", open ? "]" : "");
}

void cli_put_synopsis(FILE *to, const cli_command *c)
{
    bool more = false;

    fputs(c->name, to);
    for (const cli_argument *a = c->arguments; a && a->kind; a++)
        put_argument(to, a);
    for (const cli_option *o = c->options; o && o->kind; o++)
        if (cli_is_word(c->needed, o->name, strlen(o->name)) || cli_is_word(c->shown, o->name, strlen(o->name)))
            fprintf(to, " --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        else
            more |= o->kind != CLI_T_HEADING;
    if (more)
        fputs(" [OPTION ...]", to);
}

void cli_option_text(const cli_option *o, char *text, size_t n)
{
    const char letter[] = {'-', o->letter, ',', ' ', 0};

    snprintf(text, n, "%s--%s%s%s", o->letter ? letter : "", o->name, o->value ? " " : "", o->value ? o->value : "");
}

void cli_words_text(const char *words, char *text, size_t n)
{
    size_t at = 0;

    for (const char *p = words; at < n; p++) {
        const bool last = *p == '|' && !strchr(p + 1, '|');

        if (*p != '|')
            text[at++] = *p;
        else
            at += (size_t)snprintf(text + at, n - at, last ? " or " : ", ");
        if (!*p)
            break;
    }
    text[n - 1] = 0;
}

void cli_option_help(const cli_option *o, char *text, size_t n)
{
    char words[300] = "";

    if (o->kind == CLI_T_CHOICE && strcmp(o->value, o->words))
        cli_words_text(o->words, words, sizeof words);
    snprintf(text, n, "%s%s%s%s%s%s", o->help, *words ? ": " : "", words, o->def ? " (" : "", o->def ? o->def : "",
             o->def ? ")" : "");
}

/* Text from column `at` on, broken at blanks. */
static void put_wrapped(FILE *to, const char *text, int at)
{
    int column = at;

    while (*text) {
        const int n = (int)strcspn(text, " ");

        if (column > at && column + 1 + n > COLUMNS) {
            fprintf(to, "\n%*s", at, "");
            column = at;
        } else if (column > at) {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", n, text);
        column += n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', to);
}

/* Paragraphs are filled; lines that begin with a blank stay as they are. */
static void put_details(FILE *to, const char *text)
{
    char line[2000];

    while (*text) {
        const size_t n = strcspn(text, "\n");

        snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (*line == ' ')
            fprintf(to, "%s\n", line);
        else
            put_wrapped(to, line, 0);
        text += n + (text[n] == '\n');
    }
}

static void put_options(FILE *to, const cli_option *rows)
{
    char text[300], help[600];
    int widest = 0;

    for (const cli_option *o = rows; o->kind; o++) {
        cli_option_text(o, text, sizeof text);
        if ((int)strlen(text) > widest && (int)strlen(text) + 4 <= DEEPEST)
            widest = (int)strlen(text);
    }
    for (const cli_option *o = rows; o->kind; o++) {
        if (o->kind == CLI_T_HEADING) {
            fprintf(to, "\n%s\n", o->help);
            continue;
        }
        cli_option_text(o, text, sizeof text);
        cli_option_help(o, help, sizeof help);
        fprintf(to, "  %-*s", widest, text);
        if ((int)strlen(text) > widest)
            fprintf(to, "\n%*s", widest + 2, "");
        fputs("  ", to);
        put_wrapped(to, help, widest + 4);
    }
}

void cli_put_help(FILE *to, const cli_command *c)
{
    fputs("usage: demist ", to);
    cli_put_synopsis(to, c);
    fprintf(to, "\n\n%s\n", c->summary);
    if (c->examples)
        fprintf(to, "\n%s", c->examples);
    if (c->details) {
        fputc('\n', to);
        put_details(to, c->details);
    }
    if (c->options) {
        fputs(c->options->kind == CLI_T_HEADING ? "" : "\noptions:\n", to);
        put_options(to, c->options);
    }
    fputs("\noptions of every command:\n", to);
    put_options(to, cli_common_options);
}

int cli_usage(const cli_command *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cli_error("%s", text);
    if (cli_is_silent())
        return 2;
    fputs("usage: demist ", stderr);
    cli_put_synopsis(stderr, c);
    fprintf(stderr, "\n       demist %s --help shows more\n", c->name);
    return 2;
}
