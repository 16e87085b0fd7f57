/* none: the model's prediction as it is, as without a section guidance. */
#include <demist/plugin.h>

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "none", .version = "1", .license = "Apache-2.0",
    .doc = "no guidance",
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS)},
};
