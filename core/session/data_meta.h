/* How the data's facts travel in a checkpoint. */
#ifndef DEMIST_CORE_DATA_META_H
#define DEMIST_CORE_DATA_META_H

#include "text/number.h"
#include "format/safetensors.h"

/* Metadata of a checkpoint: what its data are recognized by (fingerprint.h), of the training and the test split; the
 * classes' names, joined by '/', and since when their numbers mean something else. */
#define DM_DATA_FINGERPRINT "data.fingerprint"
#define DM_TEST_FINGERPRINT "data.test.fingerprint"
#define DM_CLASS_NAMES "data.class_names"
#define DM_CLASSES_CHANGED "data.classes_changed"

/* How data's facts travel in a checkpoint's metadata: "demist.data.shape" and so on. text: room for the values. */
typedef struct dm_data_meta {
    char shape[96], classes[16], levels[16], low[DM_NUMBER_TEXT], high[DM_NUMBER_TEXT];
    char condition_key[DM_MAX_CONDITIONS][64], condition[DM_MAX_CONDITIONS][96];
} dm_data_meta;
enum { DM_DATA_PAIRS = 5 + DM_MAX_CONDITIONS };
/* How many pairs there are. */
int dm_data_meta_write(const dm_data_info *data, dm_data_meta *text, dm_st_pair pairs[DM_DATA_PAIRS]);
/* The names of data's conditions are f's. */
dm_status dm_data_meta_read(const dm_st *f, dm_data_info *data, dm_err *err);

#endif
