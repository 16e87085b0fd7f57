/* The folders of the runs that a sweep trains, by what was swept; see sweep.h. */
#include "sweep/sweep.h"

#include <sha256.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "experiment/resolved_lines.h"
#include "run/run_paths.h"

enum { NAME_MOST = 100, CONFIG_BYTES = 1 << 20, SHORT = 8 };

/* A key of the top level. */
static bool is(const dm_resolved_line *l, const char *key)
{
    return !*l->section && (size_t)l->key_length == strlen(key) && !strncmp(l->key, key, strlen(key));
}

void sweep_hash_experiment(SHA2_CTX *ctx, const char *text, bool sampling)
{
    dm_resolved_line l = {.section = ""};

    while (dm_resolved_next(&text, &l)) {
        const bool sampler = dm_settings_of_sampling(l.section) || is(&l, "device") || is(&l, "allow_nan");

        if (is(&l, "name") || is(&l, "output") || is(&l, "plugin_path") || (sampler && !sampling))
            continue;
        SHA256Update(ctx, (const uint8_t *)l.section, strlen(l.section) + 1);
        SHA256Update(ctx, (const uint8_t *)l.key, (size_t)(l.value + l.value_length - l.key) + 1);
    }
}

dm_status sweep_sampling_overrides(sweep *s, const sweep_cell *c, const char ***out, int *n,
                                   dm_err *err)
{
    const char *text = c->experiment;
    dm_resolved_line l = {.section = ""};
    size_t lines = 1;

    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    if (!(*out = dm_alloc_n(s->arena, lines, sizeof **out)))
        return dm_error(err, DM_ENOMEM, "out of memory for a cell of the sweep");
    for (*n = 0; dm_resolved_next(&text, &l);) {
        const bool device = is(&l, "device");

        if (!device && (l.head || !dm_settings_of_sampling(l.section)))
            continue;
        if (!((*out)[(*n)++] = dm_sprintf(s->arena, "%s%s%.*s=%.*s", l.section, device ? "" : ".", l.key_length, l.key,
                                          l.value_length, l.value)))
            return dm_error(err, DM_ENOMEM, "out of memory for a cell of the sweep");
    }
    return DM_OK;
}

const char *sweep_hex(sweep *s, SHA2_CTX *ctx)
{
    char all[SHA256_DIGEST_STRING_LENGTH];

    SHA256End(ctx, all);
    return dm_strndup(s->arena, all, SWEEP_HEX);
}

static const char *hash_of(sweep *s, const char *experiment)
{
    SHA2_CTX ctx;

    SHA256Init(&ctx);
    sweep_hash_experiment(&ctx, experiment, false);
    return sweep_hex(s, &ctx);
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');

    return dot ? dot + 1 : key;
}

/* The last part of a key, or all of it where another of the sweep ends alike. */
static const char *short_key(const sweep *s, int axis)
{
    const char *key = s->axis[axis].key;

    for (int i = 0; i < s->n_axes; i++)
        if (i != axis && s->axis[i].trains && !strcmp(last_part(s->axis[i].key), last_part(key)))
            return key;
    return last_part(key);
}

/* A value with '_' for what does not belong into a folder's name; *whole becomes false where there is such. */
static const char *plain_value(sweep *s, const char *value, bool *whole)
{
    char *name = dm_strdup(s->arena, value);

    for (char *c = name; c && *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-", *c)) {
            *c = '_';
            *whole = false;
        }
    return name;
}

/* "lr=0.001,use=cosine". Where that is not all of it, or too long, the hash tells it from others that would be called
 * the same. */
static const char *name_of(sweep *s, const sweep_cell *c, const char *hash)
{
    const char *name = "", *value;
    bool whole = true;

    for (int i = 0; i < s->n_axes && name; i++)
        if (s->axis[i].trains && c->value[i] >= 0) {
            value = plain_value(s, s->axis[i].value[c->value[i]], &whole);
            name = value ? dm_sprintf(s->arena, "%s%s%s=%s", name, *name ? "," : "", short_key(s, i), value) : NULL;
        }
    if (!name || (*name && whole && strlen(name) <= NAME_MOST))
        return name;
    return dm_sprintf(s->arena, "%.*s%s%.*s", NAME_MOST, name, *name ? "-" : "", SHORT, hash);
}

/* Whether the folder is free for this experiment: its own, or not there. */
static bool is_free(sweep *s, const char *name, const char *hash)
{
    const char *config = dm_sprintf(s->arena, "%s/" DM_RUN_CONFIG, name), *other;
    char *text = NULL;
    dm_err ignored;
    bool there;
    dm_status rc;

    if (!config || dm_folder_has(&s->folder, config, &there, &ignored))
        return false;
    if (!there)
        return true;
    if ((rc = dm_file_slurp_in(&s->folder, config, CONFIG_BYTES, &text, NULL, &ignored)))
        return false;
    other = hash_of(s, text);
    free(text);
    return other && !strcmp(other, hash);
}

const char *sweep_run_folder(sweep *s, const sweep_cell *c)
{
    const char *hash, *name, *run;
    bool trains = false, there;
    dm_err ignored;

    for (int i = 0; i < s->n_axes; i++)
        trains |= s->axis[i].trains;
    if (!trains)
        return s->output;
    if (!(hash = hash_of(s, c->experiment)) || !(name = name_of(s, c, hash)) ||
        !(run = dm_sprintf(s->arena, "runs/%s", hash)))
        return NULL;
    /* Sweeps of before named them by the hash alone. */
    if (!dm_folder_has(&s->folder, run, &there, &ignored) && !there &&
        !(run = dm_sprintf(s->arena, "runs/%s", name)))
        return NULL;
    if (!is_free(s, run, hash)) /* the same values of another experiment */
        run = dm_sprintf(s->arena, "runs/%s-%.*s", name, SHORT, hash);
    return run ? dm_sprintf(s->arena, "%s/%s", s->dir, run) : NULL;
}
