/* See clock.h. */
#include "base/clock.h"

#include <time.h>

static double of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double dm_seconds(void) { return of(CLOCK_MONOTONIC); }

double dm_wall_seconds(void) { return of(CLOCK_REALTIME); }
