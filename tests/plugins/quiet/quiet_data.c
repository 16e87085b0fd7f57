/* A data set that works, but for what the host cannot see. */
#define BEHAVIOURS(X) X(beyond) X(unwritten) X(changes) X(shares) X(leaks) X(starts_threads) X(outside) \
    X(last_fails) X(seldom_nan) X(seldom_label) X(keeps_row)
#include <pthread.h>
#include <time.h>
#include "wrong.h"

typedef struct { float row[64]; } state;

static void *wait_for_ever(void *unused)
{
    for (;;)
        nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
    return unused;
}

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    pthread_t thread;

    if (strcmp(split, "train"))
        return dm_fail(c, DM_ENOENT, "there is no %s split", split);
    info->count = 3000;
    info->classes = 4;
    info->shape = (dm_shape){1, {64}};
    info->low = -1;
    info->high = 1;
    if (wrong(c) == leaks)
        memset(malloc(5000), 1, 5000);
    if (wrong(c) == starts_threads && pthread_create(&thread, NULL, wait_for_ever, NULL))
        return dm_fail(c, DM_ENOMEM, "no thread");
    return DM_OK;
}

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    static int calls;
    state *st = c->self;
    float *to = wrong(c) == shares ? st->row : x; /* what several threads write is nobody's */

    if (wrong(c) == last_fails && index == 2999)
        return dm_fail(c, DM_EIO, "there is nothing behind example 2998");
    if (label)
        *label = wrong(c) == seldom_label && index % 997 == 996 ? 4 : (int32_t)(index % 4);
    for (int i = 0; i < 64; i++) {
        if (wrong(c) == unwritten && i == 63)
            break;
        to[i] = (float)sin(0.1 * (double)index + i);
        if (wrong(c) == shares && i == 31)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    if (wrong(c) == shares)
        memcpy(x, st->row, sizeof st->row);
    if (wrong(c) == seldom_nan && index % 1009 == 1008)
        x[7] = NAN;
    if (wrong(c) == keeps_row)
        memcpy(st->row, x, sizeof st->row);
    if (wrong(c) == beyond)
        x[64] = 0;
    if (wrong(c) == changes)
        x[0] = (float)(calls++ % 7) / 7;
    if (wrong(c) == outside && index == 0)
        x[5] = 1.5f;
    return DM_OK;
}

PLUGIN("quiet_data", .self_size = sizeof(state),
       .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_});
