/* A plugin at work: its config, its memory, and the services that the host offers it. */
#ifndef DEMIST_CORE_INSTANCE_H
#define DEMIST_CORE_INSTANCE_H

#include "base/error.h"
#include "base/arena.h"
#include "plugin/callback.h"
#include "device/tensor.h"

/* Where launches go while a dm_op puts itself into a plan. */
typedef struct dm_recording { dm_cmds *cmds; const char *label; dm_work work; } dm_recording;

/* Where what plugins log goes. */
typedef struct dm_plugin_log { void (*line)(void *user, const char *line); void *user; } dm_plugin_log;

/* What stands behind dm_ctx.host. Fields that a kind has no use for are NULL. The first member is
 * the public table, so that the functions in it find the rest. */
typedef struct dm_services {
    dm_host api;                   /* looks at where it is called, then calls */
    dm_host work;                  /* the function that does it; NULL where nothing has it */
    const struct dm_noise *noise;  /* point_at_*, posterior (noise_services.h) */
    dm_device *device;             /* kernel, launch, sum, ... */
    struct dm_sampling *sampling;  /* the run that a sampler's calls belong to (sampling.h) */
    bool counting;                 /* its steps are only counted: nothing is to be computed */
    dm_recording *recording;        /* where launch() records while a dm_op puts itself into a plan */
    dm_plugin_log log;
} dm_services;

/* Fills the table and what needs a device alone, and where log lines go, NULL = nowhere. dm_noise_serve and sampling
 * fill in what is theirs; the caller sets the other fields. */
void dm_services_init(dm_services *s, const dm_plugin_log *log);
void dm_device_serve(dm_services *s); /* sum, kernel, launch */
static inline dm_services *dm_services_of(const dm_ctx *c)
{
    return (dm_services *)(void *)(uintptr_t)(const void *)c->host;
}

typedef struct dm_instance {
    const dm_plugin *plugin;
    const char *kind, *file, *settings; /* for messages (callback.h) */
    dm_arena *arena;
    dm_services *services;
    void *self;                    /* plugin->self_size zeroed bytes */
    const void *cfg;
    dm_err err;
    dm_ctx ctx;                    /* host, cfg, self, &err */
} dm_instance;

dm_status dm_instance_init(dm_instance *i, const dm_plugin *p, const void *cfg, dm_services *s, dm_err *err);
/* Calls the plugin's close and frees its memory. */
void dm_instance_fini(dm_instance *i);
/* The same context with an error of its own, for a thread that reads a data set. */
dm_ctx dm_instance_ctx(const dm_instance *i, dm_err *err);

/* Whether p lies in a shared object or the program, so that it outlives a call. */
bool dm_instance_static(const void *p);

/* Has the output the channels of a learned variance, and the objective their meaning? */
static inline bool dm_objective_learns(const dm_objective *o, const dm_data_info *data, int32_t out_channels)
{
    return o->log_var && out_channels >= 2 * data->shape.dim[0];
}

#endif
