/* Predictions of earlier steps, for methods of several steps. */
#ifndef DEMIST_SAMPLERS_HISTORY_H
#define DEMIST_SAMPLERS_HISTORY_H

#include <math.h>
#include <demist/plugin.h>

enum { HISTORY_MOST = 5 };

/* The newest first, and where each was made, in what the method's polynomial runs over: log-SNR / 2, or another. ahead:
 * the newest is of the point where the next step begins. */
typedef struct { dm_tensor *m[HISTORY_MOST]; double at[HISTORY_MOST]; int places, have; bool ahead; } history;

static inline dm_status history_begin(dm_ctx *c, const dm_step *s, history *h, int places)
{
    *h = (history){.places = places};
    for (int i = 0; i < places; i++)
        if (!(h->m[i] = c->host->tensor_like(c, s->x)))
            return c->err->code;
    return DM_OK;
}

/* The oldest one's tensor: where the next prediction goes before history_push. */
static inline dm_tensor *history_next(const history *h) { return h->m[h->places - 1]; }

/* That tensor becomes the newest. One that was made at no finite place has no neighbours: it is not counted, nor is
 * what lies before it. */
static inline void history_push(history *h, double at)
{
    dm_tensor *newest = history_next(h);

    for (int i = h->places - 1; i > 0; i--) {
        h->m[i] = h->m[i - 1];
        h->at[i] = h->at[i - 1];
    }
    h->m[0] = newest;
    h->at[0] = at;
    h->have = isfinite(at) ? h->have < h->places ? h->have + 1 : h->places : 0;
}

/* Of methods that may have predicted x0 at a step's end, which is where the next one begins: else it is now. */
static inline dm_status history_first(dm_ctx *c, const dm_step *s, history *h)
{
    const dm_point *at = &s->grid[s->i];
    dm_status rc;

    if (!h->ahead) {
        if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = history_next(h)})))
            return rc;
        history_push(h, at->log_snr / 2);
    }
    h->ahead = false;
    return DM_OK;
}

/* For check: an order needs as many predictions. */
static inline dm_status history_check(dm_ctx *c, const dm_step *s, const char *key, int64_t order)
{
    return order <= s->n ? DM_OK
                         : dm_fail(c, DM_EINVAL, "%s: %d needs at least as many steps; the grid has %d", key,
                                   (int)order, (int)s->n);
}

#endif
