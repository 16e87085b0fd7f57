/* What the program says; see message.h. */
#include "terminal/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "text/json_text.h"
#include "text/plain_text.h"

static const char *color = "auto";
static bool silent;

void cli_be_silent(void) { silent = true; }
bool cli_is_silent(void) { return silent; }

void cli_set_color(const char *when) { color = when; }

static bool is_colored(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    if (strcmp(color, "auto"))
        return !strcmp(color, "always");
    return !(no && *no) && isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
}

const char *cli_colored(const char *line, char *text, size_t n)
{
    static const struct { const char *word, *color; } words[] = {{"error: ", "31"}, {"warning: ", "33"}};
    const char *at = NULL;
    size_t which = 0;

    for (size_t i = 0; i < 2; i++) {
        const char *p = strstr(line, words[i].word);

        if (p && (p == line || p[-1] == ' ') && (!at || p < at)) {
            at = p;
            which = i;
        }
    }
    if (!at || !is_colored())
        return line;
    snprintf(text, n, "%.*s\033[1;%sm%.*s\033[0m%s", (int)(at - line), line, words[which].color,
             (int)strlen(words[which].word) - 1, at, at + strlen(words[which].word) - 1);
    return text;
}

/* A line whose message may be of any length. */
static void put(const char *head, const char *message)
{
    char text[64];

    if (!silent)
        fprintf(stderr, "%s%s\n", cli_colored(head, text, sizeof text), message);
}

static void put_formatted(const char *head, const char *fmt, va_list ap)
{
    char text[1024];

    vsnprintf(text, sizeof text, fmt, ap);
    dm_plain_text(text);
    put(head, text);
}

void cli_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_formatted("demist: error: ", fmt, ap);
    va_end(ap);
}

void cli_warning(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_formatted("demist: warning: ", fmt, ap);
    va_end(ap);
}

int cli_fail(const dm_err *err)
{
    put("demist: error: ", err->msg[0] ? err->msg : dm_status_name(err->code));
    return dm_status_exit(err->code ? err->code : DM_EIO);
}

int cli_no_memory(void) { return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"}); }

int cli_print_json(json_t *report)
{
    const bool lost = !report || dm_json_lost(), written = !lost && !json_dumpf(report, stdout, JSON_INDENT(2));

    json_decref(report);
    putchar('\n');
    if (lost)
        return cli_no_memory();
    return written ? 0 : cli_fail(&(dm_err){DM_EIO, "unable to write the report"});
}

void cli_print_path(const char *path)
{
    if (isatty(STDOUT_FILENO))
        dm_plain_put(stdout, path);
    else
        fputs(path, stdout);
    putchar('\n');
}

void cli_print_line(void *user, const char *text)
{
    dm_plain_put(user, text);
    fputc('\n', user);
    fflush(user);
}
