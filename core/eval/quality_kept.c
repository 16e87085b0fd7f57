/* What quality keeps from call to call; see quality.h. */
#include "eval/quality.h"

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

char *dm_quality_key(const dm_experiment *e, const dm_quality *q, int64_t count, int64_t subset_size)
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
