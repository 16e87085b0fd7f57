/* A schedule that works, but for what the host cannot see. */
#define BEHAVIOURS(X) X(beyond) X(before) X(leaks) X(leaks_a_file)
#include <fcntl.h>
#include "wrong.h"

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    for (int32_t i = 0; i < T; i++)
        beta[i] = 1e-4 + 0.02 * i / T;
    if (wrong(c) == beyond)
        beta[T] = 0.5;
    if (wrong(c) == before)
        beta[-1] = 0.5;
    if (wrong(c) == leaks)
        memset(malloc(400), 1, 400);
    if (wrong(c) == leaks_a_file && open("/dev/null", O_RDONLY) < 0)
        return dm_fail(c, DM_EIO, "no file");
    return DM_OK;
}

PLUGIN("quiet_betas", .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .fill = fill});
