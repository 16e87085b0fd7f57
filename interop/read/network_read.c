/* A network's config.json as a network section, by the class that it says it is of. */
#include "interop/read/diffusers.h"

dm_status dm_network_read(const char *path, FILE *to, dm_network_facts *f, dm_err *err)
{
    const char *name;
    dm_config c;
    dm_status rc;

    *f = (dm_network_facts){0};
    if ((rc = dm_config_open(&c, path, err)))
        return rc;
    dm_config_choice(&c, "_class_name", "UNet2DModel", "UNet2DModel|DiTTransformer2DModel|Transformer2DModel");
    name = json_string_value(json_object_get(c.root, "_class_name"));
    if (name && dm_dit_is(name))
        dm_dit_put(&c, to, f);
    else
        dm_unet_put(&c, to, f);
    if (f->outputs < f->channels)
        dm_config_fail(&c, "out_channels", "is %lld, below in_channels, %lld: demist has no inputs beside the image",
                       (long long)f->outputs, (long long)f->channels);
    return dm_config_end(&c, err);
}
