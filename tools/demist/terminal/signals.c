/* Signals that ask to stop; see signals.h. */
#include "terminal/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "plugin/callback.h"
#include "terminal/message.h"

static volatile sig_atomic_t signalled;
static volatile sig_atomic_t begun; /* kernels are built, and steps are made */
static const char *promise; /* what the first signal leads to then */
static int code_before;     /* the exit code where it ends the program before */

void cli_end_by(int sig)
{
    sigset_t one;

    signal(sig, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, sig);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    raise(sig);
}

/* Does a plugin not return? Then a first signal ends the program. */
static bool plugin_stuck(void)
{
    char what[16];

    return dm_call_stuck(CLI_PATIENCE, what, sizeof what);
}

/* A data set may take minutes to be opened, and its plugin is not asked to stop; nothing has been begun by then, or,
 * where that has an exit code of its own, all that was done before is kept. */
static void end_opening(int sig)
{
    if ((begun && !code_before) || !dm_call_anywhere(DM_CB_DATA_OPEN))
        return;
    if (!cli_is_silent())
        fprintf(stderr, "\ndemist: stopped while the data was being opened\n");
    if (!code_before)
        cli_end_by(sig);
    _exit(code_before);
}

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
        if (signalled || plugin_stuck())
            cli_end_by(sig);
        end_opening(sig);
        first = then;
        signalled = sig;
        if (!cli_is_silent())
            fprintf(stderr, "\ndemist: %s; press Ctrl-C again to stop at once\n",
                begun ? promise : "stopping once the kernel that is being built is ready");
    }
    return NULL;
}

int cli_signal(void) { return signalled; }

void cli_steps_begun(void) { begun = 1; }

/* A thread of its own takes them, before there are others: every thread and every program that a driver starts (a
 * compiler, a linker) then has them blocked, and Ctrl-C at a terminal breaks no compilation. */
void cli_catch_signals(const char *first, int stopped)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    static sigset_t set;
    pthread_t thread;

    promise = first;
    code_before = stopped;
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
