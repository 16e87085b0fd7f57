/* What a model has to say of itself before there is a device; see model.h. */
#include "model/model_make.h"

dm_status dm_model_examine(const dm_experiment *e, const dm_noise *noise, const dm_data_info *data, int64_t label_width,
                           dm_model **out, dm_section_id *at, dm_err *err)
{
    dm_model *m;
    dm_status rc = dm_model_make(e, noise, NULL, data, label_width, &m, at, err);

    if (rc)
        return rc;
    *at = DM_SEC_OBJECTIVE;
    if (!label_width && (rc = dm_grad_step_examine(m, err))) /* labels that are vectors cannot be trained with */
        dm_model_free(m);
    else
        *out = m;
    return rc;
}
