/* demist plugins: documentation from the parameter tables. */
#include "plugin/describe.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "options/command.h"

static bool kind_of(const char *name, size_t n, dm_kind *kind)
{
    for (int k = 0; k < DM_KIND_COUNT; k++) {
        const char *have = dm_kind_name(k);

        if (strlen(have) == n && !strncmp(have, name, n)) {
            *kind = k;
            return true;
        }
    }
    return false;
}

static dm_status show(dm_registry *r, const char *what, int *refused, dm_err *err)
{
    const char *slash = strchr(what, '/');
    const size_t n = strlen(what);
    const dm_plugin *p;
    dm_kind kind;
    dm_status rc;

    if (n > 3 && !strcmp(what + n - 3, ".so"))
        rc = dm_registry_open(r, what, &p, &kind, err);
    else if (kind_of(what, n, &kind))
        return dm_describe_list(stdout, r, kind, refused, err);
    else if (!slash || !kind_of(what, (size_t)(slash - what), &kind))
        rc = dm_error(err, DM_EINVAL,
                      "'%s' is neither KIND/NAME nor a file; kinds are "
                      "schedule, grid, guidance, sampler, network, objective, dataset",
                      what);
    else
        rc = dm_registry_get(r, kind, slash + 1, &p, err);
    if (rc)
        return rc;
    return dm_describe_plugin(stdout, kind, p, dm_registry_file(r, p), err);
}

static int run(cli_call *call)
{
    dm_registry *r;
    dm_err err = {0};
    int refused = 0;
    dm_status rc;

    if (dm_registry_new(NULL, &r, &err))
        return cli_fail(&err);
    rc = call->argument[0] ? show(r, call->argument[0], &refused, &err)
                           : dm_describe_list(stdout, r, DM_KIND_COUNT, &refused, &err);
    dm_registry_free(r);
    return rc ? cli_fail(&err) : refused ? dm_status_exit(DM_EABI) : 0;
}

const cli_command cmd_plugins = {
    .name = "plugins",
    .summary = "list the plugins, or show one with its parameters",
    .arguments = (const cli_argument[]){{CLI_T_PLUGIN, "KIND|KIND/NAME|FILE.so", NULL, NULL, false}, {0}},
    .examples = "  demist plugins\n  demist plugins sampler\n  demist plugins schedule/cosine\n"
                "  demist plugins ./my_curve.so\n",
    .details = "Kinds: schedule, grid, guidance, sampler, network, objective, dataset. A file is checked and shown "
               "without being run. Of plugins that are not demist's own the file is shown, and of one that hides "
               "another the other. Where one is refused, the exit code is 3.\n",
    .run = run};
