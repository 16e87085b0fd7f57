/* What the program says; see message.h. */
#include "terminal/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plain_text.h"

void cli_error(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dm_plain_text(text);
    fprintf(stderr, "demist: error: %s\n", text);
}

int cli_fail(const dm_err *err)
{
    fprintf(stderr, "demist: error: %s\n", err->msg[0] ? err->msg : dm_status_name(err->code));
    return dm_status_exit(err->code ? err->code : DM_EIO);
}

int cli_no_memory(void) { return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"}); }

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
