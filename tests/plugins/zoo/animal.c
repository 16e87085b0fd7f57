/* One plugin with one thing wrong, chosen by -DZOO_<name>, built as <name>.so. Whatever the host calls in
 * it ends the process, so that a refusal shows that nothing was called. */
#include <stdlib.h>
#include <demist/plugin.h>

#define STRINGIFY(x) #x
#define NAME_OF(x) STRINGIFY(x)

typedef struct { double s, u; } cfg;

static const dm_param params[] = {
#if defined(ZOO_default_range)
    DM_REAL(cfg, s, "2", 0, 1, "", "offset"),
#elif defined(ZOO_twice)
    DM_REAL(cfg, s, "0.5", 0, 1, "", "offset"),
    DM_REAL(cfg, s, "0.5", 0, 1, "", "offset"),
#elif defined(ZOO_host_key)
    {DM_T_REAL, "timesteps", 0, "0.5", 0, 1, 0, "", "a name that is the host's"},
#elif defined(ZOO_outside)
    {DM_T_REAL, "s", sizeof(cfg), "0.5", 0, 1, 0, "", "a field outside of the config"},
#else
    DM_REAL(cfg, s, "0.5", 0, 1, "", "offset"),
    DM_REAL(cfg, u, NULL, 0, 1, "", "a required one"),
#endif
    DM_END,
};

#ifndef ZOO_good
static dm_status fill(dm_ctx *c, int32_t T, double *beta) { (void)c, (void)T, (void)beta; abort(); }
#else
static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    (void)c;
    for (int32_t i = 0; i < T; i++)
        beta[i] = 0.5;
    return DM_OK;
}
#endif

#ifdef ZOO_both_ways
static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    (void)c, (void)T, (void)t, (void)alpha, (void)sigma;
    abort();
}
#endif
#ifdef ZOO_two_kinds
static dm_status step(dm_ctx *c, const dm_step *s) { (void)c, (void)s; abort(); }
static const dm_sampler sampler = {.size = sizeof(dm_sampler), .step = step};
#endif
#ifdef ZOO_null_step
static const dm_sampler sampler = {.size = sizeof(dm_sampler)};
#endif
#ifdef ZOO_null_loss
static const dm_objective objective = {.size = sizeof(dm_objective)};
#endif
#ifdef ZOO_null_build
static const dm_network network = {.size = sizeof(dm_network)};
#endif
#ifdef ZOO_null_read
static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info) { (void)c, (void)split, (void)info; abort(); }
static const dm_dataset dataset = {.size = sizeof(dm_dataset), .open = open_};
#endif

#if !defined(ZOO_null_step) && !defined(ZOO_null_loss) && !defined(ZOO_null_build) && !defined(ZOO_null_read) && \
    !defined(ZOO_no_kind)
static const dm_schedule schedule = {
#ifdef ZOO_small_kind
    .size = 4,
#else
    .size = sizeof(dm_schedule),
#endif
#ifndef ZOO_no_way
    .fill = fill,
#endif
#ifdef ZOO_both_ways
    .at = at,
#endif
};
#define HAS_SCHEDULE
#endif

#ifdef ZOO_undefined
void dm_no_such_function_anywhere(void);
#endif
static void close_(dm_ctx *c)
{
    (void)c;
#ifdef ZOO_undefined
    dm_no_such_function_anywhere();
#endif
    (void)fill;
    abort();
}

#ifdef ZOO_no_symbol
extern const dm_plugin another_entry;
#define dm_plugin_entry another_entry
#endif

const dm_plugin dm_plugin_entry = {
#if defined(ZOO_major)
    .abi = DM_ABI_OF((DM_ABI >> 16) + 1, 0),
#elif defined(ZOO_minor_new)
    .abi = DM_ABI + 1,
#elif defined(ZOO_minor_old)
    .abi = DM_ABI - 1,
#else
    .abi = DM_ABI,
#endif
#ifdef ZOO_small
    .size = 8,
#else
    .size = sizeof(dm_plugin),
#endif
#ifdef ZOO_wrong_name
    .name = "other",
#elif defined(ZOO_bad_name)
    .name = "../bad",
#else
    .name = NAME_OF(ZOO),
#endif
    .version = "1",
    .license = "Apache-2.0",
#ifndef ZOO_no_doc
    .doc = "an animal of the zoo",
#endif
    .params = params,
    .cfg_size = sizeof(cfg),
    .close = close_,
#ifdef HAS_SCHEDULE
    .schedule = &schedule,
#endif
#if defined(ZOO_two_kinds) || defined(ZOO_null_step)
    .sampler = &sampler,
#endif
#ifdef ZOO_null_loss
    .objective = &objective,
#endif
#ifdef ZOO_null_build
    .network = &network,
#endif
#ifdef ZOO_null_read
    .dataset = &dataset,
#endif
};
