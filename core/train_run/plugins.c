/* With which plugins a run is trained, in its env.json, and whether they are those that it was trained with before; see
 * running.h. */
#include "train_run/running.h"

#include <jansson.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/json_text.h"

_Static_assert(sizeof(dm_file_hash) == SHA256_DIGEST_STRING_LENGTH, "it holds a digest's text");

dm_file_hash dm_running_hash(const char *file)
{
    dm_file_hash h;

    if (!SHA256File(file, h.text))
        *h.text = 0;
    return h;
}

static json_t *one(const dm_plugin *p, dm_kind kind, const char *file)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", dm_kind_name(kind), "name", p->name, "version", p->version,
                     "file", file, "sha256", dm_running_hash(file).text);
}

json_t *dm_running_plugins(const dm_training *r)
{
    json_t *all = json_array();

    for (int k = 0; k < DM_KIND_COUNT; k++) {
        const dm_plugin *p = r->s.experiment->section[dm_kind_section((dm_kind)k)].plugin;

        if (p)
            json_array_append_new(all, one(p, (dm_kind)k, dm_registry_file(r->s.registry, p)));
    }
    return all;
}

static const char *text_of(const json_t *plugin, const char *key)
{
    const char *text = json_string_value(json_object_get(plugin, key));

    return text ? text : "";
}

/* What was there before of this kind; NULL where it had another name, which the experiment tells. */
static const json_t *before_of(const json_t *plugins, const json_t *now)
{
    for (size_t i = 0; i < json_array_size(plugins); i++) {
        const json_t *p = json_array_get(plugins, i);

        if (!strcmp(text_of(p, "kind"), text_of(now, "kind")) && !strcmp(text_of(p, "name"), text_of(now, "name")))
            return p;
    }
    return NULL;
}

void dm_running_warn_of_plugins(const dm_training *r, const json_t *now)
{
    dm_err ignored = {0};
    char *text = NULL;
    json_t *env = NULL;
    size_t n;

    if (!dm_file_slurp_in(dm_run_folder(r->folder), "env.json", 1 << 20, &text, &n, &ignored) &&
        !dm_json_read(text, n, "env.json", &env, &ignored))
        for (size_t i = 0; i < json_array_size(now); i++) {
            const json_t *is = json_array_get(now, i), *was = before_of(json_object_get(env, "plugins"), is);

            if (was && strcmp(text_of(was, "sha256"), text_of(is, "sha256")))
                dm_session_log(&r->s, DM_LOG_WARNING,
                               "%s plugin '%s' differs from the one that the run was trained with: version %s of '%s' "
                               "now, version %s of '%s' then; its results may differ from here on",
                               text_of(is, "kind"), text_of(is, "name"), text_of(is, "version"), text_of(is, "file"),
                               text_of(was, "version"), text_of(was, "file"));
        }
    json_decref(env);
    free(text);
}
