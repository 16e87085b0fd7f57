/* Values to begin with; see start_values.h. */
#include "selftest/start_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double start_value(const char *key, size_t i)
{
    return fmod((double)(i + 1) * 0.6180339887498949 + (double)strlen(key) * 0.7548776662466927, 1.0) - 0.5;
}

/* The gain of a norm, by its name: "norm.weight", "norm1.weight", "group_norm.weight". */
static bool is_gain(const char *key)
{
    const size_t n = strlen(key), end = strlen("weight");

    return strstr(key, "norm") && n > end && !strcmp(key + n - end, "weight");
}

dm_status start_weights(dm_wset *set, dm_err *err)
{
    const dm_layout *l = dm_wset_layout(set);
    float *host = calloc(l->total ? l->total : 1, sizeof *host);
    dm_status rc;

    if (!host)
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (int32_t k = 0; k < l->n; k++) {
        const dm_weight *w = &l->weights[k];
        const int64_t n = dm_layout_count(l, k);

        for (int64_t i = 0; i < n; i++) {
            const double v = start_value(w->key, (size_t)i);

            host[l->offset[k] + (size_t)i] =
                (float)(w->shape.rank > 1 ? 2 * v / sqrt((double)(n / w->shape.dim[0])) : is_gain(w->key) + 0.2 * v);
        }
    }
    rc = dm_buf_write(dm_wset_flat(set), 0, l->total * sizeof *host, host, err);
    dm_wset_touch(set);
    free(host);
    return rc;
}

double largest_of(const float *x, int64_t n)
{
    double largest = 0;

    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}
