/* What making a model and examining one have in common. */
#ifndef DEMIST_CORE_MODEL_MAKE_H
#define DEMIST_CORE_MODEL_MAKE_H

#include "model/model.h"

/* As dm_model_new; d may be NULL; *at is the section at fault. */
dm_status dm_model_make(const dm_experiment *e, const dm_noise *noise, dm_device *d, const dm_data_info *data,
                        int64_t label_width, dm_model **out, dm_section_id *at, dm_err *err);

#endif
