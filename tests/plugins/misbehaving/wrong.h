/* What the misbehaving plugins share: each is whole until its parameter `wrong` names what shall go wrong. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <demist/plugin.h>

typedef struct { int32_t wrong; } cfg;

/* Behaviours are X-macros, BEHAVIOURS(X) with X(name): the enum, and the choices of the parameter. */
#define AS_ENUM(name) name,
#define AS_CHOICE(name) "|" #name
enum { good, BEHAVIOURS(AS_ENUM) };
static const dm_param params[] = {
    DM_ENUM(cfg, wrong, "good", "good" BEHAVIOURS(AS_CHOICE), "what goes wrong"),
    DM_END,
};

static inline int wrong(const dm_ctx *c) { return ((const cfg *)c->cfg)->wrong; }

#define PLUGIN(NAME, ...) \
    const dm_plugin dm_plugin_entry = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = NAME, .version = "1", \
        .license = "Apache-2.0", .doc = "one that goes wrong after loading", .params = params, \
        .cfg_size = sizeof(cfg), __VA_ARGS__}
