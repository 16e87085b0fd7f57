/* What a person sees while a command works: the log, the progress bar, and Ctrl-C. */
#include "options/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run/progress.h"

struct cli_terminal {
    cli_common common;
    dm_callbacks callbacks;
    dm_progress *bar;
    char what[32];
};

static volatile sig_atomic_t signalled;
static volatile sig_atomic_t begun; /* kernels are built, and steps are made */
static const char *promise; /* what the first signal leads to then */

/* The first signal asks to stop and says so, which may be long before a step ends; a second ends the program, as the
 * first does where a plugin does not return. What comes within a second of the first is the same one: timeout, Slurm,
 * systemd and docker send it to the process and to its group. */
static void *wait_for_signals(void *set)
{
    struct timespec first = {0}, then;
    int sig;

    while (!sigwait(set, &sig)) {
        clock_gettime(CLOCK_MONOTONIC, &then);
        if (signalled && (double)(then.tv_sec - first.tv_sec) + 1e-9 * (double)(then.tv_nsec - first.tv_nsec) < 1)
            continue;
        if (signalled || cli_plugin_stuck())
            cli_end_by(sig);
        first = then;
        signalled = sig;
        fprintf(stderr, "\ndemist: %s; once more to stop at once\n",
                begun ? promise : "stopping once the kernel that is being built is ready");
    }
    return NULL;
}

int cli_signal(void) { return signalled; }

/* A thread of its own takes them, before there are others: every thread and every program that a driver starts (a
 * compiler, a linker) then has them blocked, and Ctrl-C at a terminal breaks no compilation. */
void cli_catch_signals(const char *first)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    static sigset_t set;
    pthread_t thread;

    promise = first;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaddset(&set, signals[i]);
    if (!pthread_sigmask(SIG_BLOCK, &set, NULL)) {
        if (pthread_create(&thread, NULL, wait_for_signals, &set))
            pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        else
            pthread_detach(thread);
    }
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write, which says so */
    signal(SIGPIPE, SIG_IGN); /* work does not end because nobody reads what is said of it */
}

cli_terminal *cli_terminal_new(const cli_common *o)
{
    cli_terminal *t = calloc(1, sizeof *t);

    const char *level = getenv("DEMIST_LOG");

    if (!t)
        return NULL;
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

/* What was asked for, in the order of main.c's lists. */
static dm_progress_mode mode_of(const cli_common *o)
{
    static const dm_progress_mode modes[] = {DM_PROGRESS_AUTO, DM_PROGRESS_BAR, DM_PROGRESS_PLAIN, DM_PROGRESS_JSON,
                                             DM_PROGRESS_NONE};
    const char *no = getenv("NO_COLOR");
    const bool plain = o->color == 2 || (o->color == 0 && no && *no);

    if (modes[o->progress] == DM_PROGRESS_BAR)
        return plain ? DM_PROGRESS_BAR : DM_PROGRESS_COLOUR;
    if (modes[o->progress] == DM_PROGRESS_AUTO && o->color)
        return dm_progress_choose(stderr, o->color == 1);
    return modes[o->progress];
}

static void on_progress(void *user, const dm_progress_info *p)
{
    cli_terminal *t = user;

    begun = 1;
    if (t->common.quiet)
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
                                                      .total = p->steps});
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

const dm_callbacks *cli_callbacks(cli_terminal *t)
{
    t->callbacks = (dm_callbacks){
        .size = sizeof t->callbacks, .user = t, .log = on_log, .progress = on_progress, .cancelled = cancelled};
    return &t->callbacks;
}
