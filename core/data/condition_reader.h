/* Reads the conditions of the examples besides their class: those that a data set has, and those that lie in
 * files of the experiment (condition.vector, condition.sequence), in the order of the data. */
#ifndef DEMIST_CORE_CONDITION_READER_H
#define DEMIST_CORE_CONDITION_READER_H

#include "plugin/instance.h"
#include "settings/settings.h"

typedef struct dm_condition_reader dm_condition_reader;

/* info: what the data set said of this split, which gets the conditions of the files too. DM_ENOENT where the test
 * split has no such file. */
dm_status dm_condition_reader_open(const dm_set_condition *set, const dm_instance *data, bool train, dm_data_info *info,
                        dm_condition_reader **out, dm_err *err);
void dm_condition_reader_close(dm_condition_reader *g);
/* Values of an example: of each condition in turn those of its shape, of a sequence the number of its rows too. */
int64_t dm_condition_reader_size(const dm_condition_reader *g);
/* mirrored: its images too are. Several threads may read. */
dm_status dm_condition_reader_read(const dm_condition_reader *g, int64_t index, bool mirrored, float *to, dm_err *err);

#endif
