/* What a person sees while a command works; see terminal.h. */
#include "terminal/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/progress.h"
#include "terminal/message.h"
#include "terminal/process.h"
#include "terminal/signals.h"

struct cli_terminal {
    cli_common common;
    dm_callbacks callbacks;
    dm_progress *bar;
    char what[32];
};

cli_terminal *cli_terminal_new(const cli_common *o)
{
    cli_terminal *t = calloc(1, sizeof *t);

    const char *level = getenv("DEMIST_LOG");

    if (!t)
        return NULL;
    if (level && *level && strcmp(level, "error") && strcmp(level, "warning") && strcmp(level, "info") &&
        strcmp(level, "debug"))
        cli_warning("DEMIST_LOG is '%.100s'; it must be error, warning, info or debug", level);
    t->common = *o;
    if (level && !o->quiet && !o->verbose) {
        t->common.quiet = !strcmp(level, "warning") || !strcmp(level, "error");
        t->common.verbose = !strcmp(level, "debug");
    }
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
    char text[2304], colored[2400];

    if (cli_is_silent() || level > (t->common.quiet ? DM_LOG_WARNING : t->common.verbose ? DM_LOG_DEBUG : DM_LOG_INFO))
        return;
    /* A fault in an experiment begins with where it is, and says "error" itself. */
    snprintf(text, sizeof text, "%s%s", level == DM_LOG_ERROR ? "" : prefix[level], line);
    line = cli_colored(text, colored, sizeof colored);
    if (t->bar)
        dm_progress_message(t->bar, line);
    else
        fprintf(stderr, "%s\n", line);
}

static dm_progress_mode mode_of(const cli_common *o)
{
    const char *no = getenv("NO_COLOR");
    const bool automatic = !strcmp(o->color, "auto"), always = !strcmp(o->color, "always");

    if (!strcmp(o->progress, "bar"))
        return always || (automatic && !(no && *no)) ? DM_PROGRESS_COLOUR : DM_PROGRESS_BAR;
    if (!strcmp(o->progress, "auto"))
        return automatic ? DM_PROGRESS_AUTO : dm_progress_choose(stderr, always);
    return !strcmp(o->progress, "plain")  ? DM_PROGRESS_PLAIN
           : !strcmp(o->progress, "json") ? DM_PROGRESS_JSON
                                          : DM_PROGRESS_NONE;
}

static void on_progress(void *user, const dm_progress_info *p)
{
    cli_terminal *t = user;

    cli_steps_begun();
    if (t->common.quiet || cli_is_silent())
        return;
    if (t->bar && strcmp(t->what, p->what))
        end_bar(t);
    if (!t->bar) {
        snprintf(t->what, sizeof t->what, "%s", p->what);
        t->bar = dm_progress_new(&(dm_progress_setup){.to = stderr,
                                                      .mode = mode_of(&t->common),
                                                      .what = t->what,
                                                      .unit = "images/s",
                                                      .per_step = p->per_step,
                                                      .first = p->step,
                                                      .total = p->steps,
                                                      .percent = p->percent});
    }
    dm_progress_step(t->bar, p->step, p->loss);
    if (p->step >= p->steps)
        end_bar(t);
}

static bool cancelled(void *user)
{
    (void)user;
    cli_watch_aborts();
    return cli_signal() != 0;
}

const dm_callbacks *cli_callbacks(cli_terminal *t)
{
    t->callbacks = (dm_callbacks){.size = sizeof t->callbacks,
                                  .user = t,
                                  .log = on_log,
                                  .progress = on_progress,
                                  .cancelled = cancelled,
                                  .override_name = "command line: argument"};
    return &t->callbacks;
}
