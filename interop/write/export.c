/* dm_export: a run's model as a folder that diffusers opens. The same run gives the same bytes. */
#include "interop/read/diffusers.h"
#include "interop/write/diffusers_write.h"

#include "base/file.h"
#include "base/sized.h"
#include "format/safetensors.h"
#include "session/session.h"
#include "session/session_source.h"
#include "session/session_read.h"
#include "interop/write/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {
    const dm_st *file;
    const dm_st_tensor *tensor;
    const char *name;
    dm_shape shape;
    bool allow_nan;
} piece;

static dm_status fill(void *user, uint64_t from, void *to, size_t n, dm_err *err)
{
    const piece *p = user;
    float *v = to;
    const dm_status rc = dm_st_read_f32(p->file, p->tensor, (int64_t)(from / sizeof *v), (int64_t)(n / sizeof *v), v,
                                        err);

    for (size_t i = 0; i < n / sizeof *v && !rc && !p->allow_nan; i++)
        if (!isfinite(v[i]))
            return dm_error(err, DM_ECORRUPT,
                            "'%s': tensor '%s' has a value that is not finite; allow_nan=true takes it as it is",
                            dm_st_path(p->file), p->tensor->name);
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(((const piece *)a)->name, ((const piece *)b)->name); }

static dm_status write_weights(const dm_session *s, bool raw, const char *path, dm_err *err)
{
    const char *prefix = dm_session_prefix(s->checkpoint, raw);
    const dm_pair meta = {"format", "pt"};
    const int64_t all = dm_st_count(s->checkpoint);
    piece *p = calloc((size_t)all + 1, sizeof *p);
    dm_st_source *t = calloc((size_t)all + 1, sizeof *t);
    int64_t n = 0;
    dm_status rc;

    for (int64_t i = 0; i < all && p && t; i++) {
        const dm_st_tensor *one = dm_st_at(s->checkpoint, i);

        if (strncmp(one->name, prefix, strlen(prefix)))
            continue;
        p[n] = (piece){s->checkpoint, one, one->name + strlen(prefix), one->shape,
                       s->experiment->run.allow_nan};
        if (!strcmp(p[n].name, "time_proj.weight") &&
            dm_value_is(&s->experiment->section[DM_SEC_NETWORK], "time", "fourier"))
            p[n].shape.rank = 1;
        n++;
    }
    if (p && t && n)
        qsort(p, (size_t)n, sizeof *p, by_name);
    for (int64_t i = 0; i < n; i++)
        t[i] = (dm_st_source){.name = p[i].name, .type = DM_ST_F32, .shape = p[i].shape, .fill = fill, .user = &p[i]};
    rc = p && t ? dm_st_write(path, t, n, &meta, 1, err) : dm_error(err, DM_ENOMEM, "out of memory for the weights");
    free(p);
    free(t);
    return rc;
}

/* What the config cannot say and diffusers' calls can. */
static void say_rest(const dm_session *s)
{
    const dm_set_sampler *set = &s->experiment->sampler;
    const dm_section *sampler = &s->experiment->section[DM_SEC_SAMPLER], *grid = &s->experiment->section[DM_SEC_GRID];
    const char *solver = dm_solver_class(s->experiment);

    if (solver) {
        dm_session_log(s, DM_LOG_INFO,
                       "diffusers has no pipeline for it: load the parts by UNet2DModel.from_pretrained(DIR, "
                       "subfolder=\"unet\") and %s.from_pretrained(DIR, subfolder=\"scheduler\"), and call "
                       "set_timesteps(%lld)",
                       solver, (long long)set->steps);
        return;
    }
    dm_session_log(s, DM_LOG_INFO, "for the same images call diffusers' pipeline with num_inference_steps=%lld%s%s",
                   (long long)(set->steps ? set->steps : s->experiment->schedule.timesteps),
                   dm_uses(sampler, "ddim") && dm_value_real(sampler, "eta") > 0 ? ", eta" : "",
                   dm_uses(sampler, "ddim") && set->clip_eps && strcmp(set->clip, "off")
                       ? ", use_clipped_model_output=True" : "");
    if (dm_uses(sampler, "ddim") && dm_value_is(grid, "spacing", "linspace"))
        dm_session_log(s, DM_LOG_WARNING, "diffusers' DDIMScheduler steps wrongly with linspace spacing");
    if (dm_scheduler_ends_noisy(s->experiment))
        dm_session_log(s, DM_LOG_WARNING,
                       "diffusers' DDPMScheduler adds noise to the final image with this grid and variance; export "
                       "with "
                       "grid.spacing=leading to avoid it, or sample with sampler.compat=diffusers for the same images");
}

typedef struct texts { char *unet, *scheduler; const char *scheduler_class; } texts;

static dm_status describe(const dm_session *s, texts *t, dm_err *err)
{
    size_t n;
    FILE *unet = open_memstream(&t->unet, &n), *scheduler = open_memstream(&t->scheduler, &n);
    dm_status rc = unet && scheduler ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the configs");

    if (!rc && !(rc = dm_unet_write(s->experiment, &s->data, unet, err)))
        rc = dm_scheduler_write(s->experiment, &s->data, scheduler, &t->scheduler_class, err);
    for (int i = 0; i < 2; i++) {
        FILE *f = i ? scheduler : unet;

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
    texts t = {0};
    char index[300], weights[4096];
    dm_status rc;

    if (!(rc = describe(s, &t, err))) {
        snprintf(index, sizeof index, "{\n  \"_class_name\": \"%s\",\n  \"scheduler\": [\"diffusers\", \"%s\"],\n"
                 "  \"unet\": [\"diffusers\", \"UNet2DModel\"]\n}\n",
                 strstr(t.scheduler_class, "DDIM") ? "DDIMPipeline" : "DDPMPipeline", t.scheduler_class);
        if (!(rc = put_file(dir, "unet", NULL, err)) && !(rc = put_file(dir, "scheduler", NULL, err)) &&
            !(rc = put_file(dir, "unet/config.json", t.unet, err)) &&
            !(rc = put_file(dir, "scheduler/scheduler_config.json", t.scheduler, err))) {
            snprintf(weights, sizeof weights, "%s/unet/" DM_DIFFUSERS_WEIGHTS, dir);
            rc = write_weights(s, raw, weights, err);
            if (!rc && !dm_solver_class(s->experiment)) /* its pipelines are for those alone */
                rc = put_file(dir, "model_index.json", index, err);
        }
    }
    free(t.unet);
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
        return dm_error(err, DM_EINVAL, "there is no %s to export to", to ? "folder" : "format");
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
