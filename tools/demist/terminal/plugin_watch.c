/* What a plugin does to the program: one that crashes is named before the program dies of it, and one that does not
 * return is named while it goes on. The library installs nothing; this is the program's. */
#define _XOPEN_SOURCE 700 /* sigaltstack */
#include "terminal/process.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/callback.h"
#include "terminal/signals.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* its own handlers tell more */
#endif

static const struct { int signal; const char *name; } crashes[] = {
    {SIGSEGV, "segmentation fault"}, {SIGBUS, "bus error"}, {SIGFPE, "arithmetic exception"},
    {SIGILL, "illegal instruction"}, {SIGABRT, "abort"},
};
enum { N_CRASHES = sizeof crashes / sizeof crashes[0] };

/* In a signal handler: no memory is taken, no lock, no stdio. */
static void put(const char *s)
{
    if (write(STDERR_FILENO, s, strlen(s)) < 0)
        return;
}

static void on_crash(int sig)
{
    const char *name = "signal";
    dm_call_info at;

    for (int i = 0; i < N_CRASHES; i++)
        if (crashes[i].signal == sig)
            name = crashes[i].name;
    put("\ndemist: error: ");
    if (dm_call_here(&at)) {
        put(at.kind), put(" plugin '"), put(at.plugin), put("' crashed in "), put(at.callback), put(": "), put(name);
        put("\n  its file:       "), put(at.file);
        put("\n  its parameters: {"), put(at.settings), put("}\n");
    } else {
        put("crashed: "), put(name),
            put(", in no plugin's callback; a device's driver, a kernel or demist is at fault\n");
        if (*cli_pocl_cache())
            put("  if the device is PoCL's, what it keeps of compiled kernels may be damaged: empty '"),
                put(cli_pocl_cache()), put("' and try again\n");
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

static void catch_crashes(void)
{
#ifndef SANITIZED
    static char stack[64 << 10];   /* where the plugin's recursion took the other */
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction a = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};

    sigaltstack(&other, NULL);
    for (int i = 0; i < N_CRASHES; i++)
        sigaction(crashes[i].signal, &a, NULL);
#endif
}

void cli_watch_aborts(void)
{
#ifndef SANITIZED
    const struct sigaction a = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};

    sigaction(SIGABRT, &a, NULL);
#endif
}

static void *watch(void *unused)
{
    char what[1024], told[sizeof what] = "";

    (void)unused;
    for (;;) {
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        if (!dm_call_stuck(CLI_PATIENCE, what, sizeof what))
            *what = 0;
        else if (strcmp(what, told))
            fprintf(stderr,
                    "\ndemist: %s, and has asked the host for nothing in %d s; Ctrl-C ends demist at once\n", what,
                    (int)CLI_PATIENCE);
        memcpy(told, what, sizeof told);
        if (*what && cli_signal())
            cli_end_by(cli_signal());
    }
    return NULL;
}

void cli_watch_plugins(void)
{
    sigset_t all, before;
    pthread_t thread;

    catch_crashes();
    sigfillset(&all);
    if (pthread_sigmask(SIG_BLOCK, &all, &before)) /* the thread takes no signal: those are another's */
        return;
    if (!pthread_create(&thread, NULL, watch, NULL))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
