/* A network as one of diffusers, by its plugin. */
#include "interop/write/diffusers_write.h"
#include "interop/write/values.h"

const char *dm_network_class(const dm_experiment *e)
{
    return dm_uses(&e->section[DM_SEC_NETWORK], "dit") ? "DiTTransformer2DModel" : "UNet2DModel";
}

dm_status dm_network_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err)
{
    const dm_section *net = &e->section[DM_SEC_NETWORK];

    if (dm_uses(net, "unet"))
        return dm_unet_write(e, data, to, err);
    if (dm_uses(net, "dit"))
        return dm_dit_write(e, data, to, err);
    return dm_error(err, DM_EINVAL, "diffusers has no network like '%s'; only unet and dit can be exported",
                    net->plugin ? net->plugin->name : "?");
}
