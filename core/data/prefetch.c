/* Batches made ahead; see prefetch.h. A ring of slots: batch b lies in slot b % slots, is made by
 * whichever thread takes the number b, and is free again once it was taken. */
#define _XOPEN_SOURCE 700
#include "data/prefetch.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORKERS = 64 };

typedef struct slot { float *x, *others; int32_t *labels; bool made; dm_err err; } slot;
typedef struct worker { dm_prefetch *p; int index; pthread_t thread; } worker;

struct dm_prefetch {
    dm_prefetch_setup s;
    pthread_mutex_t mutex;
    pthread_cond_t made, room;     /* a batch was made; a slot is free, or it is time to stop */
    bool stop;
    uint64_t next, taken;          /* batches whose making has begun, that were taken */
    int slots, started;
    slot slot[MAX_WORKERS + 2];
    worker worker[MAX_WORKERS];
};

static void fill(dm_prefetch *p, int worker_index, uint64_t batch, slot *to)
{
    const uint64_t first = p->s.position + batch * (uint64_t)p->s.stride;

    to->err.code = DM_OK;
    for (int64_t i = 0; i < p->s.n; i++)
        if (p->s.make(p->s.user, worker_index, first + (uint64_t)i, to->x + i * p->s.size, to->others + i * p->s.more,
                      to->labels + i, &to->err))
            return;
}

static void *work(void *arg)
{
    worker *w = arg;
    dm_prefetch *p = w->p;

    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->stop && p->next - p->taken >= (uint64_t)p->slots)
            pthread_cond_wait(&p->room, &p->mutex);
        if (p->stop)
            break;
        const uint64_t batch = p->next++;
        slot *s = &p->slot[batch % (uint64_t)p->slots];
        pthread_mutex_unlock(&p->mutex);
        fill(p, w->index, batch, s);
        pthread_mutex_lock(&p->mutex);
        s->made = true;
        pthread_cond_broadcast(&p->made);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* The application's signals stay with its own threads. */
static bool start(dm_prefetch *p)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < p->s.workers; i++) {
        p->worker[i] = (worker){.p = p, .index = i};
        if (pthread_create(&p->worker[i].thread, NULL, work, &p->worker[i]))
            break;
        p->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p->started == p->s.workers;
}

dm_status dm_prefetch_new(const dm_prefetch_setup *s, dm_prefetch **out, dm_err *err)
{
    dm_prefetch *p;
    bool ok = true;

    if (s->workers < 1 || s->workers > MAX_WORKERS || s->n < 1 || s->size < 1 || s->more < 0 ||
        s->n > INT64_MAX / 8 / s->size || (s->more && s->n > INT64_MAX / 8 / s->more) || s->stride < s->n)
        return dm_error(err, DM_EINVAL, "unable to read ahead batches of %lld with %d threads", (long long)s->n,
                        s->workers);
    if (!(p = calloc(1, sizeof *p)))
        return dm_error(err, DM_ENOMEM, "out of memory: reading ahead");
    p->s = *s;
    p->slots = s->workers + 2;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->made, NULL);
    pthread_cond_init(&p->room, NULL);
    for (int i = 0; i < p->slots; i++) {
        p->slot[i].x = malloc((size_t)(s->n * s->size) * sizeof(float));
        p->slot[i].others = malloc((size_t)(s->n * s->more) * sizeof(float) + 1);
        p->slot[i].labels = calloc((size_t)s->n, sizeof(int32_t));
        ok = ok && p->slot[i].x && p->slot[i].others && p->slot[i].labels;
    }
    if (!ok || !start(p)) {
        dm_prefetch_free(p);
        return dm_error(err, DM_ENOMEM, "out of memory: %d threads with batches of %lld examples", s->workers,
                        (long long)s->n);
    }
    *out = p;
    return DM_OK;
}

void dm_prefetch_free(dm_prefetch *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    for (int i = 0; i < p->slots; i++) {
        free(p->slot[i].x);
        free(p->slot[i].others);
        free(p->slot[i].labels);
    }
    pthread_cond_destroy(&p->made);
    pthread_cond_destroy(&p->room);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

bool dm_prefetch_take(dm_prefetch *p, uint64_t position, int64_t n, float *x, float *others, int32_t *labels,
                      dm_status *status, dm_err *err)
{
    slot *s;

    if (n != p->s.n || position != p->s.position + p->taken * (uint64_t)p->s.stride)
        return false;
    s = &p->slot[p->taken % (uint64_t)p->slots];
    pthread_mutex_lock(&p->mutex);
    while (!s->made)
        pthread_cond_wait(&p->made, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    *status = s->err.code;
    if (*status) {
        if (err)
            *err = s->err;
        return true;
    }
    memcpy(x, s->x, (size_t)(n * p->s.size) * sizeof *x);
    if (p->s.more)
        memcpy(others, s->others, (size_t)(n * p->s.more) * sizeof *others);
    if (labels)
        memcpy(labels, s->labels, (size_t)n * sizeof *labels);
    pthread_mutex_lock(&p->mutex);
    s->made = false;
    p->taken++;
    pthread_cond_signal(&p->room);
    pthread_mutex_unlock(&p->mutex);
    return true;
}
