/* What quality keeps from call to call; see quality.h. */
#include "quality/job.h"

#include <stdlib.h>
#include <string.h>

void dm_quality_kept_free(dm_quality_kept *k)
{
    if (!k)
        return;
    free(k->key);
    free(k->train);
    free(k);
}

/* The lines of a section of a resolved experiment. */
static const char *section(const char *text, const char *head, int *n)
{
    const char *at = text, *end;

    while (at && strncmp(at, head, strlen(head)))
        at = (at = strchr(at, '\n')) ? at + 1 : NULL;
    if (!at) {
        *n = 0;
        return "";
    }
    end = at;
    do
        end += strcspn(end, "\n") + (end[strcspn(end, "\n")] == '\n');
    while (*end == ' ');
    *n = (int)(end - at);
    return at;
}

/* Everything that the training images' features, floor and ceiling follow from: the resolved experiment's seed and
 * data, the features' layer and weights, counts. On the heap, NULL when memory is exhausted. */
static char *key_of(const dm_experiment *e, const dm_quality *q, int64_t count, int64_t subset_size)
{
    static const char form[] = "%s %s train=%lld count=%lld subsets=%lld of %lld neighbours=%d seed=%lld\n%.*s";
    char *text = dm_experiment_print(e, false), *key;
    const char *data;
    int n, data_length;

    if (!text)
        return NULL;
    data = section(text, "data:", &data_length);
    n = snprintf(NULL, 0, form, q->hash, q->layer, (long long)q->train, (long long)count, (long long)q->subsets,
                 (long long)subset_size, (int)q->neighbours, (long long)e->run.seed, data_length, data);
    if ((key = malloc((size_t)n + 1)))
        snprintf(key, (size_t)n + 1, form, q->hash, q->layer, (long long)q->train, (long long)count,
                 (long long)q->subsets, (long long)subset_size, (int)q->neighbours, (long long)e->run.seed, data_length,
                 data);
    free(text);
    return key;
}

/* What the caller keeps, if it is of the same data, features and counts; a caller that wants all features gets them,
 * and ranks do not ask each other what each of them keeps. */
dm_status dm_quality_find_kept(dm_quality_job *j, dm_err *err)
{
    if (!j->o->kept || j->o->features_done || j->model.comm->size > 1)
        return DM_OK;
    if (!(j->key = key_of(j->model.experiment, j->out, j->count, j->reference.size)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (*j->o->kept && !strcmp((*j->o->kept)->key, j->key))
        j->kept = *j->o->kept;
    return DM_OK;
}

dm_status dm_quality_keep(dm_quality_job *j, dm_err *err)
{
    dm_quality_kept *k;

    if (!j->key)
        return DM_OK;
    if (!(k = malloc(sizeof *k)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    *k = (dm_quality_kept){j->key, j->train_features, j->out->floor, j->out->ceiling};
    j->key = NULL;
    j->train_features = NULL;
    dm_quality_kept_free(*j->o->kept);
    *j->o->kept = k;
    return DM_OK;
}
