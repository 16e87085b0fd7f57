/* The data of an experiment: a data set plugin's examples, cropped, resized, in the channels asked
 * for, mirrored, and scaled to -1..1, in an order that seed and epoch alone decide. */
#ifndef DEMIST_CORE_DATA_H
#define DEMIST_CORE_DATA_H

#include "experiment/experiment.h"
#include "plugin/instance.h"

typedef struct dm_data dm_data;

/* split: "train" or "test"; DM_ENOENT where the data has none such. e and s must outlive it. */
dm_status dm_data_open(const dm_experiment *e, const char *split, dm_services *s, dm_data **out, dm_err *err);
/* The same, though some of its files cannot be read: they are left out, each with a line in the log, and counted. */
dm_status dm_data_open_readable(const dm_experiment *e, const char *split, dm_services *s, int64_t *unreadable,
                                dm_data **out, dm_err *err);
void dm_data_close(dm_data *d);

/* What comes out: count (of data.limit, if set), final shape, and the range after scaling: data with levels is
 * -1..1, continuous data is left alone. */
const dm_data_info *dm_data_get_info(const dm_data *d);
/* Between two of the values that data with levels can have; 0 of continuous data. */
static inline double dm_data_step(const dm_data_info *d)
{
    return d->levels > 1 && d->high > d->low ? (d->high - d->low) / (d->levels - 1) : 0;
}

/* What the plugin calls an example, below the data's folder where it is a file there, and as it is in *file; NULL where
 * it has no names. */
const char *dm_data_name(const dm_data *d, int64_t index, const char **file);
/* What the plugin calls a class; NULL where it has no names. */
const char *dm_data_class_name(const dm_data *d, int32_t label);

/* Example `index` as the plugin has it, not yet cut, resized or scaled: *x is valid until the next call for d. label is
 * left alone where the data has none. raw_size: the values of the largest. */
dm_status dm_data_raw(dm_data *d, int64_t index, dm_shape *shape, const float **x, int32_t *label, dm_err *err);
int64_t dm_data_raw_size(const dm_data *d);
/* Its shape as the plugin has it, without reading it. */
dm_status dm_data_raw_shape(const dm_data *d, int64_t index, dm_shape *shape, dm_err *err);

/* What the data tell of one example, *n values, none where they tell nothing: valid as x is. */
dm_status dm_data_read_conditions(dm_data *d, int64_t index, int64_t *n, const float **values, dm_err *err);

/* The n examples of the endless training stream from `position`: x[n,...] and labels, NULL if not wanted,
 * 0 where the data has none.
 * Position p is example shuffle(p mod count) of epoch p / count, augmented as p alone decides. */
dm_status dm_data_batch(dm_data *d, uint64_t position, int64_t n, float *x, int32_t *labels, dm_err *err);
/* Examples first..first + n in the data's own order, never augmented: for evaluation. As in dm_data_batch, what cannot
 * be read gives way to the next example where the plugin says so (dm_data_info.replaces); dm_data_try says why not. */
dm_status dm_data_at(dm_data *d, int64_t first, int64_t n, float *x, int32_t *labels, dm_err *err);
dm_status dm_data_try(dm_data *d, int64_t index, float *x, dm_err *err);
/* The conditions of the examples of the last dm_data_batch or dm_data_at (condition_reader.h), valid until the next;
 * NULL without conditions. */
const float *dm_data_conditions(const dm_data *d);
/* From now on data.workers threads make the batches of n from `position`, and from every `stride` after it, ahead of
 * dm_data_batch, which gives the same as without. Calls for other batches still work, at their own speed. */
dm_status dm_data_prefetch(dm_data *d, uint64_t position, int64_t n, int64_t stride, dm_err *err);

#endif
