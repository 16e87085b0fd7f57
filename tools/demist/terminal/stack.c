/* A stack that drivers' compilers can work with; see process.h. */
#define _GNU_SOURCE
#include "terminal/process.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

enum { ENOUGH = 8 << 20 };

typedef struct work { int (*run)(int argc, char **argv); int argc; char **argv; int code; } work;

static void *begin(void *user)
{
    work *w = user;

    w->code = w->run(w->argc, w->argv);
    return NULL;
}

int cli_with_stack(int (*run)(int argc, char **argv), int argc, char **argv)
{
    work w = {run, argc, argv, 0};
    pthread_attr_t attr;
    struct rlimit limit;
    pthread_t thread;
    sigset_t all;

    if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= ENOUGH || pthread_attr_init(&attr))
        return run(argc, argv);
    /* What `ulimit -s` says of the first thread's stack is the default of all others too, the drivers' among them. */
    if (pthread_attr_setstacksize(&attr, ENOUGH) || pthread_setattr_default_np(&attr) ||
        pthread_create(&thread, &attr, begin, &w)) {
        pthread_attr_destroy(&attr);
        return run(argc, argv);
    }
    pthread_attr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are for the thread that works */
    pthread_join(thread, NULL);
    return w.code;
}
