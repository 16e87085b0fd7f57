/* What a check finds, a line each; see plugin_test.h. */
#include "plugin_test/plugin_test.h"

#include <stdio.h>

static void say(const char *word, const char *fmt, va_list ap)
{
    char text[2048];

    vsnprintf(text, sizeof text, fmt, ap);
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
    printf("%s: %s\n", word, text);
    fflush(stdout);
}

void plugin_test_fail(plugin_test *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("wrong", fmt, ap);
    va_end(ap);
    t->failed++;
}

void plugin_test_note(plugin_test *t, const char *fmt, ...)
{
    va_list ap;

    (void)t;
    va_start(ap, fmt);
    say("note", fmt, ap);
    va_end(ap);
}
