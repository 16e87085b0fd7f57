/* A model in diffusers' layout as a source of weights with an experiment in its metadata; see core/format/foreign.h. */
#include "format/foreign.h"

#include "base/folder.h"
#include "base/json.h"
#include "interop/read/diffusers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARDS = 1024, PATH_ROOM = 4096 };

typedef struct model {
    const char *dir;
    char network[PATH_ROOM];       /* its folder */
    char scheduler[PATH_ROOM];     /* its file, "" if there is none */
    dm_st *file[MAX_SHARDS];
    int64_t n_files;
    dm_arena *arena;
    dm_network_facts facts;
    char *text;                    /* the experiment */
    char *class_names;             /* "" where they are not known */
} model;

/* The first of n files that the folder has: *which is its number, n where it has none. */
static dm_status first_in(const char *dir, const char *const *names, int n, int *which, dm_err *err)
{
    char path[PATH_ROOM];
    dm_path_kind kind;
    dm_status rc;

    for (*which = 0; *which < n; ++*which) {
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, names[*which]) >= sizeof path)
            continue;
        if ((rc = dm_path_look(path, &kind, err)) || kind == DM_PATH_FILE)
            return rc;
    }
    return DM_OK;
}

dm_status dm_foreign_is(const char *dir, bool *is, dm_err *err)
{
    static const char *const names[] = {"unet/config.json", "transformer/config.json", "config.json",
                                        "model_index.json"};
    int which;
    const dm_status rc = first_in(dir, names, 4, &which, err);

    *is = which < 4;
    return rc;
}

/* ---- the experiment ------------------------------------------------------------------------ */

static dm_status find(model *m, dm_err *err)
{
    static const char *const schedulers[] = {"scheduler/scheduler_config.json", "scheduler_config.json",
                                             "../scheduler/scheduler_config.json"};

    static const char *const configs[] = {"unet/config.json", "transformer/config.json", "config.json"};
    static const char *const folders[] = {"/unet", "/transformer", ""};
    int which;
    dm_status rc;

    if (strlen(m->dir) > PATH_ROOM - 200)
        return dm_error(err, DM_EINVAL, "the path '%.60s...' is too long", m->dir);
    if ((rc = first_in(m->dir, configs, 3, &which, err)))
        return rc;
    if (which == 3)
        return dm_error(err, DM_EINVAL, "'%s' has no config.json, neither by itself nor in unet/ or transformer/",
                        m->dir);
    snprintf(m->network, sizeof m->network, "%s%s", m->dir, folders[which]);
    if (!(rc = first_in(m->dir, schedulers, 3, &which, err)) && which < 3)
        snprintf(m->scheduler, sizeof m->scheduler, "%s/%s", m->dir, schedulers[which]);
    return rc;
}

/* The folder of the network that makes pixels of what this one draws; *decoder is "" where those are pixels. */
static dm_status find_decoder(const model *m, const char **decoder, dm_err *err)
{
    static const char *const configs[] = {"vae/config.json",    "vqvae/config.json",    "movq/config.json",
                                          "../vae/config.json", "../vqvae/config.json", "../movq/config.json"};
    static const char *const folders[] = {"vae", "vqvae", "movq", "../vae", "../vqvae", "../movq", ""};
    static const char *const pipeline[] = {"../model_index.json"};
    int which, other;
    dm_status rc = first_in(m->dir, pipeline, 1, &other, err);

    if (!rc)
        rc = first_in(m->dir, configs, other ? 3 : 6, &which, err);
    *decoder = rc || which == (other ? 3 : 6) ? "" : folders[which];
    return rc;
}

static dm_status write_experiment(model *m, dm_err *err)
{
    char config[PATH_ROOM + 16];
    size_t n;
    FILE *to = open_memstream(&m->text, &n);
    dm_status rc;

    if (!to)
        return dm_error(err, DM_ENOMEM, "out of memory for the experiment of '%s'", m->dir);
    snprintf(config, sizeof config, "%s/config.json", m->network);
    fprintf(to, "name: imported\n");
    if (!(rc = dm_network_read(config, to, &m->facts, err)))
        rc = dm_scheduler_read(*m->scheduler ? m->scheduler : NULL, &m->facts, to, err);
    if (fclose(to) && !rc)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the experiment of '%s'", m->dir);
    return rc;
}

/* Of a pipeline; m->dir is that, or its network's folder. */
static dm_status find_class_names(model *m, dm_err *err)
{
    static const char *const names[] = {"model_index.json", "../model_index.json"};
    char path[PATH_ROOM + 32];
    size_t n;
    FILE *to = open_memstream(&m->class_names, &n);
    int which;
    dm_status rc;

    if (!to)
        return dm_error(err, DM_ENOMEM, "out of memory for the names of classes of '%s'", m->dir);
    if (!(rc = first_in(m->dir, names, 2, &which, err)) && which < 2 && m->facts.classes) {
        snprintf(path, sizeof path, "%s/%s", m->dir, names[which]);
        rc = dm_class_names_read(path, m->facts.classes, to, err);
    }
    if (fclose(to) && !rc)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the names of classes of '%s'", m->dir);
    return rc;
}

/* ---- the weights --------------------------------------------------------------------------- */

static dm_status open_shard(model *m, const char *name, dm_err *err)
{
    char path[PATH_ROOM + 300];
    dm_status rc;

    snprintf(path, sizeof path, "%s/%s", m->network, name);
    if (m->n_files == MAX_SHARDS)
        return dm_error(err, DM_ECORRUPT, "'%s' has more than %d files of weights", m->network, MAX_SHARDS);
    if (!(rc = dm_st_open(path, &m->file[m->n_files], err)))
        m->n_files++;
    return rc;
}

static bool plain_name(const char *name)
{
    const size_t n = strlen(name);

    return n > 12 && n < 256 && !strchr(name, '/') && !strchr(name, '\\') && !strstr(name, "..") &&
        !strcmp(name + n - 12, ".safetensors");
}

/* Every file of the map once, and every tensor in the file that the map says. */
static dm_status open_map(model *m, const char *path, const json_t *map, dm_err *err)
{
    const char *opened[MAX_SHARDS], *key;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)map, key, v) {
        const char *name = json_string_value(v);
        int64_t i = 0;
        dm_status rc;

        if (!name || !plain_name(name))
            return dm_error(err, DM_ECORRUPT,
                            "'%s' has tensor '%.80s' in '%.80s', which is not a .safetensors file of this folder", path,
                            key, name ? name : "?");
        while (i < m->n_files && strcmp(opened[i], name))
            i++;
        if (i == m->n_files) {
            if ((rc = open_shard(m, name, err)))
                return rc == DM_ENOENT ? dm_error(err, DM_ECORRUPT, "'%s' has tensor '%.80s' in '%s', which does not "
                                                                    "exist", path, key, name)
                                       : rc;
            opened[i] = name;
        }
        if (!dm_st_find(m->file[i], key))
            return dm_error(err, DM_ECORRUPT, "'%s' has tensor '%.80s' in '%s', which does not contain it", path, key,
                            name);
    }
    return m->n_files ? DM_OK : dm_error(err, DM_ECORRUPT, "'%s' names no file of weights", path);
}

static dm_status open_index(model *m, dm_err *err)
{
    char path[PATH_ROOM + 300], *text;
    json_t *root;
    size_t n;
    dm_status rc;

    snprintf(path, sizeof path, "%s/" DM_DIFFUSERS_WEIGHTS ".index.json", m->network);
    if ((rc = dm_file_slurp(path, (size_t)64 << 20, &text, &n, err)))
        return rc;
    rc = dm_json_read(text, n, path, &root, err);
    free(text);
    if (rc)
        return rc;
    if (!json_is_object(json_object_get(root, "weight_map")))
        rc = dm_error(err, DM_ECORRUPT, "'%s' has no weight_map", path);
    else
        rc = open_map(m, path, json_object_get(root, "weight_map"), err);
    json_decref(root);
    return rc;
}

static dm_status open_weights(model *m, dm_err *err)
{
    enum { INDEX, PICKLE = 4, NONE };
    static const char *const names[] = {DM_DIFFUSERS_WEIGHTS ".index.json", /* before the file, as diffusers does */
                                        DM_DIFFUSERS_WEIGHTS, "diffusion_pytorch_model.fp16.safetensors",
                                        "diffusion_pytorch_model.non_ema.safetensors", "diffusion_pytorch_model.bin"};
    int which;
    const dm_status rc = first_in(m->network, names, NONE, &which, err);

    if (rc || which == INDEX)
        return rc ? rc : open_index(m, err);
    if (which < PICKLE)
        return open_shard(m, names[which], err);
    if (which == PICKLE)
        return dm_error(err, DM_EINVAL,
                        "'%s/diffusion_pytorch_model.bin' is a pickle, a program that demist does not run; convert it "
                        "where it came from: %s.from_pretrained(dir).save_pretrained(dir, safe_serialization=True)",
                        m->network, m->facts.class_name);
    return dm_error(err, DM_ENOENT, "'%s' has no " DM_DIFFUSERS_WEIGHTS " and no index of several", m->network);
}

static bool ends_with(const char *s, const char *end, size_t *at)
{
    const size_t n = strlen(s), k = strlen(end);

    *at = n - k;
    return n >= k && !strcmp(s + n - k, end);
}

/* The names and shapes that attention had until 2023, and the frequencies as a layer of one input. */
static dm_status rename_part(const model *m, dm_st_part *p, dm_err *err)
{
    static const char *const old[][2] = {{"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"},
                                         {"proj_attn", "to_out.0"}};
    static const char *const kinds[] = {".weight", ".bias"};
    size_t at;

    if (strstr(p->name, ".attentions.")) {
        for (size_t i = 0; i < 8; i++) {
            char end[32];

            snprintf(end, sizeof end, ".%s%s", old[i / 2][0], kinds[i % 2]);
            if (ends_with(p->name, end, &at) &&
                !(p->name = dm_sprintf(m->arena, "%.*s.%s%s", (int)at, p->name, old[i / 2][1], kinds[i % 2])))
                return dm_error(err, DM_ENOMEM, "out of memory for names of tensors");
        }
        if (p->shape.rank == 4 && p->shape.dim[2] == 1 && p->shape.dim[3] == 1)
            p->shape.rank = 2;
    }
    if (m->facts.fourier && !strcmp(p->name, "time_proj.weight") && p->shape.rank == 1) {
        p->shape.rank = 2;
        p->shape.dim[1] = 1;
    }
    return DM_OK;
}

static dm_status list_parts(const model *m, dm_st_part **out, int64_t *n, dm_err *err)
{
    dm_st_part *p;
    dm_status rc = DM_OK;

    *n = 0;
    for (int64_t i = 0; i < m->n_files; i++)
        *n += dm_st_count(m->file[i]);
    if (!(p = dm_alloc_n(m->arena, (size_t)*n, sizeof *p)))
        return dm_error(err, DM_ENOMEM, "out of memory for tensors of '%s'", m->network);
    *out = p;
    for (int64_t i = 0; i < m->n_files; i++)
        for (int64_t k = 0; k < dm_st_count(m->file[i]) && !rc; k++, p++) {
            const dm_st_tensor *t = dm_st_at(m->file[i], k);

            *p = (dm_st_part){m->file[i], t, t->name, t->shape};
            rc = rename_part(m, p, err);
        }
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static dm_status gather(model *m, dm_st **out, dm_err *err)
{
    const dm_network_facts *f = &m->facts;
    char shape[80], classes[24], wide[24];
    dm_pair meta[13] = {{"format", "diffusers"}, {"experiment", m->text}, {"step", "0"}, {"data.shape", shape},
                        {"data.classes", classes}, {"data.levels", "256"}, {"data.low", "-1"}, {"data.high", "1"}};
    int64_t n_meta = 8;
    dm_st_part *parts = NULL;
    const char *decoder;
    int64_t n;
    dm_status rc;

    if ((rc = list_parts(m, &parts, &n, err)) || (rc = find_decoder(m, &decoder, err)))
        return rc;
    snprintf(shape, sizeof shape, "%lld,%lld,%lld", (long long)f->channels, (long long)f->height, (long long)f->width);
    snprintf(wide, sizeof wide, "%lld", (long long)f->label_width);
    snprintf(classes, sizeof classes, "%lld", (long long)f->classes);
    if (f->label_width)
        meta[n_meta++] = (dm_pair){"label_width", wide};
    if (*m->class_names)
        meta[n_meta++] = (dm_pair){"data.class_names", m->class_names};
    if (*decoder)
        meta[n_meta++] = (dm_pair){"latents", decoder};
    /* The network runs without a scheduler or a size; there is then nothing to sample by. */
    if (!*m->scheduler || !f->sized || f->label_width)
        meta[n_meta++] = (dm_pair){"not_sampled", f->label_width ? "its labels are vectors, which predict alone is "
                                                                   "given"
                                                  : f->sized     ? "it has no scheduler_config.json"
                                                             : "its config.json does not say the size of its images; "
                                                               "write "
                                                               "\"sample_size\": SIDE there"};
    rc = dm_st_gather(m->network, m->file, m->n_files, parts, n, meta, n_meta, out, err);
    m->n_files = 0;
    return rc;
}

dm_status dm_foreign_open(const char *dir, dm_st **out, dm_err *err)
{
    model *m = calloc(1, sizeof *m);
    dm_status rc;

    if (!m || !(m->arena = dm_arena_new())) {
        free(m);
        return dm_error(err, DM_ENOMEM, "out of memory for the model in '%s'", dir);
    }
    m->dir = dir;
    if (!(rc = find(m, err)) && !(rc = write_experiment(m, err)) && !(rc = find_class_names(m, err)) &&
        !(rc = open_weights(m, err)))
        rc = gather(m, out, err);
    for (int64_t i = 0; i < m->n_files; i++)
        dm_st_close(m->file[i]);
    dm_arena_free(m->arena);
    free(m->text);
    free(m->class_names);
    free(m);
    return rc;
}
