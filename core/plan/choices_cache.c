/* What was measured, on disk: one small JSON file an op, written whole. An entry holds all that it depends on and is
 * used only where that is the same to the last byte; anything else is measured again. */
#include "plan/choices.h"
#include "text/json_text.h"

#include "base/cache_file.h"
#include "base/file.h"
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <sha256.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 4096, DESCRIBED = 1024, MOST_BYTES = 1 << 16 };

/* The device and all of demist that matters; "" where nothing may be kept. */
static void describe(const dm_device *d, char described[DESCRIBED])
{
    const dm_device_info *i = dm_device_get_info(d);
    const uint64_t kernels = dm_device_kernels(d);

    described[0] = 0;
    if (kernels)
        snprintf(described, DESCRIBED, "demist %s %016llx; %s; %s; %s; %s; %s; %u units", DEMIST_VERSION,
                 (unsigned long long)kernels, i->platform_name, i->name, i->vendor, i->driver, i->version,
                 (unsigned)i->compute_units);
}

/* dir/choices/SHA-256 of both.json */
static bool path_of(const dm_device *d, const char *described, const char *key, char dir[PATH], char path[PATH])
{
    char hash[SHA256_DIGEST_STRING_LENGTH];
    SHA2_CTX sha;

    if (!described[0] || !dm_device_cache_dir(d)[0] ||
        snprintf(dir, PATH, "%s/choices", dm_device_cache_dir(d)) >= PATH)
        return false;
    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)described, strlen(described) + 1);
    SHA256Update(&sha, (const uint8_t *)key, strlen(key) + 1);
    SHA256End(&sha, hash);
    return snprintf(path, PATH, "%s/%.32s.json", dir, hash) < PATH;
}

static bool same(const json_t *j, const char *name, const char *value)
{
    const char *s = json_string_value(json_object_get(j, name));

    return s && !strcmp(s, value);
}

static bool seconds(const json_t *j, const char *name, double *out)
{
    const json_t *v = json_object_get(j, name);

    *out = json_number_value(v);
    return json_is_number(v) && *out >= 0 && *out < 1e6;
}

/* An implementation that there is none of, or no longer, makes an entry one of another demist. */
static bool read_one(const json_t *j, dm_op_kind kind, dm_measured *m)
{
    const json_t *dropped = json_object_get(j, "dropped"), *error = json_object_get(j, "error");
    const char *name = json_string_value(json_object_get(j, "implementation"));

    *m = (dm_measured){.impl = name ? dm_impl_named(kind, name, strlen(name), NULL, NULL) : NULL,
                       .dropped = json_is_true(dropped),
                       .error = json_is_number(error) ? json_number_value(error) : INFINITY};
    if (!m->impl || !json_is_boolean(dropped) || !(m->error >= 0))
        return false;
    return m->dropped || (seconds(j, "run", &m->run) && m->run > 0 && seconds(j, "refresh", &m->refresh));
}

int dm_choices_load(const dm_device *d, dm_op_kind kind, const char *key, dm_measured out[DM_MAX_CANDIDATES])
{
    char described[DESCRIBED], dir[PATH], path[PATH], *text = NULL;
    const json_t *list;
    json_t *j = NULL;
    size_t size = 0;
    dm_status rc;
    int n = 0;

    describe(d, described);
    if (!path_of(d, described, key, dir, path))
        return 0;
    if (!(rc = dm_cache_read(path, MOST_BYTES, &text, &size)))
        rc = dm_json_read(text, size, path, &j, NULL);
    if (rc) {
        free(text);
        return rc == DM_ENOMEM ? -1 : 0;
    }
    list = json_object_get(j, "measured");
    if (same(j, "device", described) && same(j, "op", key) && json_array_size(list) <= DM_MAX_CANDIDATES)
        for (size_t i = 0; i < json_array_size(list); i++)
            if (!read_one(json_array_get(list, i), kind, &out[n++])) {
                n = 0;
                break;
            }
    json_decref(j);
    free(text);
    return n;
}

static json_t *write_one(const dm_measured *m)
{
    json_t *j = json_pack("{s:s, s:b}", "implementation", m->impl->name, "dropped", m->dropped);

    /* JSON has no infinity: an error that is not there is infinite. */
    if (j && isfinite(m->error))
        json_object_set_new(j, "error", json_real(m->error));
    if (j && !m->dropped) {
        json_object_set_new(j, "run", json_real(m->run));
        json_object_set_new(j, "refresh", json_real(m->refresh));
    }
    return j;
}

void dm_choices_store(const dm_device *d, const char *key, const dm_measured *m, int n)
{
    char described[DESCRIBED], dir[PATH], path[PATH], *text;
    json_t *list, *j;

    dm_json_begin();
    list = json_array();
    describe(d, described);
    for (int i = 0; i < n; i++)
        json_array_append_new(list, write_one(&m[i]));
    j = json_pack("{s:s, s:s, s:o}", "device", described, "op", key, "measured", list);
    text = dm_json_text(j, JSON_INDENT(1));
    if (text && path_of(d, described, key, dir, path) && !dm_folder_make(dir, NULL))
        dm_cache_write(path, text, strlen(text));
    free(text);
    json_decref(j);
}
