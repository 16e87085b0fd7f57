/* Noise levels drawn by the losses that were seen; see importance.h. */
#include "noise/importance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { H = DM_IMPORTANCE_HISTORY };
static const double uniform_share = 0.001; /* of all draws: no part's probability is 0 */

struct dm_importance {
    int32_t parts;
    float *losses, *counts;
    double *below;                 /* probability of all parts before each, parts + 1 */
};

dm_status dm_importance_new(int32_t parts, dm_importance **out, dm_err *err)
{
    dm_importance *m = calloc(1, sizeof *m);

    if (m) {
        m->parts = parts;
        m->losses = calloc((size_t)parts * H, sizeof *m->losses);
        m->counts = calloc((size_t)parts, sizeof *m->counts);
        m->below = calloc((size_t)parts + 1, sizeof *m->below);
    }
    if (!m || !m->losses || !m->counts || !m->below) {
        dm_importance_free(m);
        return dm_error(err, DM_ENOMEM, "out of memory for the losses of %d noise levels", (int)parts);
    }
    dm_importance_update(m);
    *out = m;
    return DM_OK;
}

void dm_importance_free(dm_importance *m)
{
    if (!m)
        return;
    free(m->losses);
    free(m->counts);
    free(m->below);
    free(m);
}

int32_t dm_importance_parts(const dm_importance *m) { return m->parts; }
float *dm_importance_losses(dm_importance *m) { return m->losses; }
float *dm_importance_counts(dm_importance *m) { return m->counts; }

static double root_mean_square(const float *loss)
{
    double sum = 0;

    for (int k = 0; k < H; k++)
        sum += (double)loss[k] * loss[k];
    return sqrt(sum / H);
}

void dm_importance_update(dm_importance *m)
{
    double total = 0;
    bool ready = true;

    for (int32_t i = 0; i < m->parts; i++) {
        ready = ready && m->counts[i] >= H;
        total += root_mean_square(m->losses + (size_t)i * H);
    }
    ready = ready && total > 0;
    for (int32_t i = 0; i < m->parts; i++) {
        const double learned = ready ? root_mean_square(m->losses + (size_t)i * H) / total : 0;
        const double p = ready ? (1 - uniform_share) * learned + uniform_share / m->parts : 1.0 / m->parts;

        m->below[i + 1] = m->below[i] + p;
    }
}

void dm_importance_draw(const dm_importance *m, double u, double *v, double *weight)
{
    const double at = u * m->below[m->parts];
    int32_t lo = 0, hi = m->parts;
    double share;

    while (hi - lo > 1) { /* below[lo] <= at < below[hi] */
        const int32_t mid = lo + (hi - lo) / 2;

        if (m->below[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    share = (at - m->below[lo]) / (m->below[lo + 1] - m->below[lo]);
    *v = (lo + fmin(fmax(share, 1e-9), 1 - 1e-9)) / m->parts; /* inside of the part, whatever is rounded */
    *weight = m->below[m->parts] / ((m->below[lo + 1] - m->below[lo]) * m->parts);
}

void dm_importance_see(dm_importance *m, double v, float loss)
{
    const int32_t i = (int32_t)fmin(floor(v * m->parts), m->parts - 1);
    float *at = m->losses + (size_t)i * H;

    if (!isfinite(loss))
        return;
    if (m->counts[i] < H) {
        at[(int)m->counts[i]++] = loss;
        return;
    }
    memmove(at, at + 1, (H - 1) * sizeof *at);
    at[H - 1] = loss;
}
