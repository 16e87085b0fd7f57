/* What a net has to say of itself before there is a device; see net.h. */
#include "model/net_make.h"

dm_status dm_net_examine(const dm_experiment *e, const dm_noise *noise, const dm_data_info *data, int64_t label_width,
                         dm_net **out, dm_unreached *unreached, dm_section_id *at, dm_err *err)
{
    dm_net *m;
    dm_status rc = dm_net_make(e, noise, NULL, data, label_width, &m, at, err);

    *unreached = (dm_unreached){0};
    if (rc)
        return rc;
    if ((rc = dm_net_find_weights(m, 2, err))) { /* *at is the network's section */
        dm_net_free(m);
        return rc;
    }
    *at = DM_SEC_OBJECTIVE;
    /* with labels that are vectors nothing can be trained */
    if (!label_width && (rc = dm_grad_step_examine(m, unreached, err)))
        dm_net_free(m);
    else
        *out = m;
    return rc;
}
