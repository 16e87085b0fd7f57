/* dm_export: a run's model as a folder that diffusers opens. The same run gives the same bytes. */
#include "interop/read/diffusers.h"
#include "interop/write/diffusers_write.h"

#include "base/file.h"
#include "base/sized.h"
#include "session/session.h"
#include "session/session_read.h"
#include "interop/write/values.h"

#include <stdlib.h>
#include <string.h>

static const char *folder_of(const dm_experiment *e)
{
    return dm_uses(&e->section[DM_SEC_NETWORK], "dit") ? "transformer" : "unet";
}

/* Of images, without a network that decodes latents; its pipelines are for two schedulers alone. */
static bool has_pipeline(const dm_experiment *e)
{
    return !dm_uses(&e->section[DM_SEC_NETWORK], "dit") && !dm_solver_class(e);
}

/* What the config cannot say and diffusers' calls can. */
static void say_rest(const dm_session *s)
{
    const dm_set_sampler *set = &s->experiment->sampler;
    const dm_section *sampler = &s->experiment->section[DM_SEC_SAMPLER], *grid = &s->experiment->section[DM_SEC_GRID];
    const char *solver = dm_solver_class(s->experiment);
    const long long steps = set->steps ? set->steps : s->experiment->schedule.timesteps;
    const bool ddim = dm_uses(sampler, "ddim");

    if (has_pipeline(s->experiment))
        dm_session_log(s, DM_LOG_INFO, "for the same images call diffusers' pipeline with num_inference_steps=%lld%s%s",
                       steps, ddim && dm_value_real(sampler, "eta") > 0 ? ", eta" : "",
                       ddim && set->clip_eps && strcmp(set->clip, "off") ? ", use_clipped_model_output=True" : "");
    else
        dm_session_log(s, DM_LOG_INFO,
                       "diffusers has no pipeline for it: load the parts by %s.from_pretrained(DIR, "
                       "subfolder=\"%s\") and %s.from_pretrained(DIR, subfolder=\"scheduler\"), and call "
                       "set_timesteps(%lld)",
                       dm_network_class(s->experiment), folder_of(s->experiment),
                       solver ? solver : ddim ? "DDIMScheduler" : "DDPMScheduler", steps);
    if (solver)
        return;
    if (ddim && dm_value_is(grid, "spacing", "linspace"))
        dm_session_log(s, DM_LOG_WARNING, "diffusers' DDIMScheduler steps wrongly with linspace spacing");
    if (dm_scheduler_ends_noisy(s->experiment))
        dm_session_log(s, DM_LOG_WARNING,
                       "diffusers' DDPMScheduler adds noise to the final image with this grid and variance; export "
                       "with "
                       "grid.spacing=leading to avoid it, or sample with sampler.compat=diffusers for the same images");
}

typedef struct texts { char *network, *scheduler; const char *scheduler_class; } texts;

static dm_status describe(const dm_session *s, texts *t, dm_err *err)
{
    size_t n;
    FILE *network = open_memstream(&t->network, &n), *scheduler = open_memstream(&t->scheduler, &n);
    dm_status rc = network && scheduler ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the configs");

    if (!rc && !(rc = dm_network_write(s->experiment, &s->data, network, err)))
        rc = dm_scheduler_write(s->experiment, &s->data, scheduler, &t->scheduler_class, err);
    for (int i = 0; i < 2; i++) {
        FILE *f = i ? scheduler : network;

        if (f && fclose(f) && !rc)
            rc = dm_error(err, DM_ENOMEM, "out of memory for the configs");
    }
    return rc;
}

static dm_status put_file(const char *dir, const char *name, const char *text, dm_err *err)
{
    char path[4096];

    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return dm_error(err, DM_EINVAL, "the path '%.60s...' is too long", dir);
    if (!text)
        return dm_folder_make(path, err);
    return dm_file_write_atomic(path, text, strlen(text), err);
}

static dm_status write_folder(const dm_session *s, bool raw, const char *dir, dm_err *err)
{
    const char *part = folder_of(s->experiment);
    char index[300], config[64], weights[4096];
    texts t = {0};
    dm_status rc;

    if (!(rc = describe(s, &t, err))) {
        snprintf(index, sizeof index, "{\n  \"_class_name\": \"%s\",\n  \"scheduler\": [\"diffusers\", \"%s\"],\n"
                 "  \"unet\": [\"diffusers\", \"UNet2DModel\"]\n}\n",
                 strstr(t.scheduler_class, "DDIM") ? "DDIMPipeline" : "DDPMPipeline", t.scheduler_class);
        snprintf(config, sizeof config, "%s/config.json", part);
        if (!(rc = put_file(dir, part, NULL, err)) && !(rc = put_file(dir, "scheduler", NULL, err)) &&
            !(rc = put_file(dir, config, t.network, err)) &&
            !(rc = put_file(dir, "scheduler/scheduler_config.json", t.scheduler, err))) {
            snprintf(weights, sizeof weights, "%s/%s/" DM_DIFFUSERS_WEIGHTS, dir, part);
            rc = dm_weights_write(s, raw, weights, err);
            if (!rc && has_pipeline(s->experiment))
                rc = put_file(dir, "model_index.json", index, err);
        }
    }
    free(t.network);
    free(t.scheduler);
    return rc;
}

dm_status dm_export(const char *run, const char *to, const char *dir, const dm_export_options *options, dm_err *err)
{
    dm_export_options o;
    dm_path_kind there;
    dm_session s;
    dm_status rc;

    if ((rc = DM_SIZED_READ(dm_export_options, &o, options, err)))
        return rc;
    if (!to || !dir)
        return dm_error(err, DM_EINVAL, "%s is NULL; an export needs a format and a folder", to ? "folder" : "format");
    if (strcmp(to, "diffusers"))
        return dm_error(err, DM_EINVAL, "unknown format '%s'; demist writes: diffusers", to);
    if ((rc = dm_path_look(dir, &there, err)))
        return rc;
    if (there != DM_PATH_NOTHING && !o.overwrite)
        return dm_error(err, DM_EINVAL, "'%s' already exists; choose another folder, or set overwrite", dir);
    if ((rc = dm_session_read_run(&s, run, o.overrides, o.n_overrides, o.callbacks, err)))
        return rc;
    if (dm_st_meta(s.checkpoint, "not_sampled"))
        rc = dm_error(err, DM_EINVAL, "'%s' cannot be exported: %s", run, dm_st_meta(s.checkpoint, "not_sampled"));
    if (!rc && !(rc = write_folder(&s, o.raw, dir, err)))
        say_rest(&s);
    dm_session_fini(&s);
    return rc;
}
