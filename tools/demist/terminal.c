/* What a person sees while a command works: the log, the progress bar, and Ctrl-C. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"

struct cli_terminal { cli_common common; dm_progress *bar; char what[32]; };

static volatile sig_atomic_t signalled;

/* The first asks to stop; a second ends the program at once. */
static void on_signal(int sig)
{
    if (signalled) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    signalled = sig;
}

int cli_signal(void) { return signalled; }

void cli_catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    struct sigaction a;

    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &a, NULL);
    a.sa_handler = SIG_IGN; /* a file that may not grow is an error of its write, which says so */
    sigaction(SIGXFSZ, &a, NULL);
}

cli_terminal *cli_terminal_new(const cli_common *o)
{
    cli_terminal *t = calloc(1, sizeof *t);

    if (t)
        t->common = *o;
    return t;
}

static void end_bar(cli_terminal *t)
{
    dm_progress_end(t->bar);
    t->bar = NULL;
}

void cli_terminal_free(cli_terminal *t)
{
    if (!t)
        return;
    if (t->bar)
        end_bar(t);
    free(t);
}

static void on_log(void *user, dm_log_level level, const char *line)
{
    static const char *const prefix[] = {"error: ", "warning: ", "", ""};
    cli_terminal *t = user;
    char text[2304];

    if (level > (t->common.quiet ? DM_LOG_WARNING : t->common.verbose ? DM_LOG_DEBUG : DM_LOG_INFO))
        return;
    /* A fault in an experiment begins with where it is, and says "error" itself. */
    snprintf(text, sizeof text, "%s%s", level == DM_LOG_ERROR ? "" : prefix[level], line);
    if (t->bar)
        dm_progress_message(t->bar, text);
    else
        fprintf(stderr, "%s\n", text);
}

static void on_progress(void *user, const dm_progress_info *p)
{
    cli_terminal *t = user;

    if (t->common.quiet)
        return;
    if (t->bar && strcmp(t->what, p->what))
        end_bar(t);
    if (!t->bar) {
        snprintf(t->what, sizeof t->what, "%s", p->what);
        t->bar = dm_progress_new(&(dm_progress_setup){.to = stderr, .what = t->what, .unit = "images/s", .per_step = p->per_step,
                                                      .first = p->step, .total = p->steps});
    }
    dm_progress_step(t->bar, p->step, p->loss);
    if (p->step >= p->steps)
        end_bar(t);
}

static bool cancelled(void *user)
{
    (void)user;
    return signalled != 0;
}

dm_callbacks cli_callbacks(cli_terminal *t)
{
    return (dm_callbacks){.size = sizeof(dm_callbacks), .user = t, .log = on_log, .progress = on_progress, .cancelled = cancelled};
}
