/* What the data tell of an example besides x and its class: the conditions that a data set has, and those that lie in
 * files of the experiment (condition.vector, condition.sequence), in the order of the data. */
#ifndef DEMIST_CORE_GIVEN_H
#define DEMIST_CORE_GIVEN_H

#include "plugin/instance.h"
#include "settings/settings.h"

typedef struct dm_given dm_given;

/* info: what the data set said of this split, which gets the conditions of the files too. DM_ENOENT where the test
 * split has no such file. */
dm_status dm_given_open(const dm_set_condition *set, const dm_instance *data, bool train, dm_data_info *info,
                        dm_given **out, dm_err *err);
void dm_given_close(dm_given *g);
/* Values of an example: of each condition in turn those of its shape, of a sequence the number of its rows too. */
int64_t dm_given_size(const dm_given *g);
/* mirrored: its images too are. Several threads may read. */
dm_status dm_given_read(const dm_given *g, int64_t index, bool mirrored, float *to, dm_err *err);

#endif
