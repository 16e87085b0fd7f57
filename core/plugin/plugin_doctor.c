/* Which plugins are there, and which are refused; see plugin_doctor.h. */
#include "plugin/plugin_doctor.h"

#include "plugin/registry.h"

#include <string.h>

/* Bytes of the folder's part of a path. */
static size_t folder_length(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? (size_t)(slash - file) : 0;
}

void dm_plugin_doctor(dm_findings *r)
{
    dm_registry *g = NULL;
    const dm_found *f = NULL;
    int n = 0, good = 0;
    dm_err why = {0};
    dm_status s = dm_registry_new(NULL, &g, &why);

    if (s == DM_OK)
        s = dm_registry_list(g, &f, &n, &why);
    if (s != DM_OK)
        dm_finding_fail(r, s, "plugins: %s", why.msg);
    for (int i = 0; s == DM_OK && i < n; i++) {
        const size_t length = folder_length(f[i].file);
        const bool last = i + 1 == n || folder_length(f[i + 1].file) != length ||
                          strncmp(f[i].file, f[i + 1].file, length);

        if (!f[i].plugin)
            dm_finding_fail(r, DM_EABI, "plugin '%s': %s", f[i].file, f[i].refusal);
        good += f[i].plugin != NULL;
        if (last && good)
            dm_finding_ok(r, "plugins: %d in '%.*s'", good, (int)length, f[i].file);
        good = last ? 0 : good;
    }
    if (s == DM_OK && !n)
        dm_finding_fail(r, DM_EIO, "plugins: none found (install demist, or set DEMIST_PLUGIN_PATH to their folder)");
    dm_registry_free(g);
}
