/* demist init: an experiment to begin with, every key with its meaning. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/file.h"
#include "files/output.h"
#include "options/command.h"
#include "plugin/registry.h"
#include "settings/settings.h"

/* What each section uses. */
static const char *const points[DM_SEC_COUNT] = {[DM_SEC_DATA] = "toy2d",
                                                 [DM_SEC_SCHEDULE] = "linear",
                                                 [DM_SEC_NETWORK] = "mlp",
                                                 [DM_SEC_OBJECTIVE] = "simple",
                                                 [DM_SEC_SAMPLER] = "ddim"};
static const char *const images[DM_SEC_COUNT] = {[DM_SEC_DATA] = "image_folder",
                                                 [DM_SEC_SCHEDULE] = "linear",
                                                 [DM_SEC_NETWORK] = "unet",
                                                 [DM_SEC_OBJECTIVE] = "simple",
                                                 [DM_SEC_SAMPLER] = "ddim"};
static const dm_kind kinds[DM_SEC_COUNT] = {[DM_SEC_DATA] = DM_KIND_DATASET, [DM_SEC_SCHEDULE] = DM_KIND_SCHEDULE,
                                            [DM_SEC_NETWORK] = DM_KIND_NETWORK, [DM_SEC_OBJECTIVE] = DM_KIND_OBJECTIVE,
                                            [DM_SEC_SAMPLER] = DM_KIND_SAMPLER};

static void rows(FILE *to, const dm_param *p, const char *indent)
{
    for (; p && p->type != DM_T_END; p++) {
        const bool text = p->type == DM_T_STRING || p->type == DM_T_PATH;

        fprintf(to, "%s%s%s: %s%s%s", indent, p->def ? "" : "# ", p->name, text && p->def ? "\"" : "",
                p->def ? p->def : "(needed)", text && p->def ? "\"" : "");
        fprintf(to, "  # %s", p->doc);
        if (p->choices)
            fprintf(to, " (%s)", p->choices);
        else if ((p->type == DM_T_INT || p->type == DM_T_REAL) && p->max > p->min)
            fprintf(to, " [%g, %g]", p->min, p->max);
        fprintf(to, "\n");
    }
}

static dm_status print(FILE *to, const char *const *use, dm_err *err)
{
    dm_registry *r;
    dm_status rc;

    if ((rc = dm_registry_new(NULL, &r, err)))
        return rc;
    for (int s = 0; s < DM_SEC_COUNT && !rc; s++) {
        const dm_settings_table *t = &dm_settings[s];
        const dm_plugin *p = NULL;

        if (t->plugin && !use[s]) /* it may be absent */
            continue;
        if (*t->name)
            fprintf(to, "\n%s:  # %s\n", t->name, t->doc);
        if (use[s] && (rc = dm_registry_get(r, kinds[s], use[s], &p, err)))
            break;
        if (p) {
            fprintf(to, "  use: %s  # %s; demist plugins lists the others\n", p->name, p->doc);
            rows(to, p->params, "  ");
        }
        rows(to, t->rows, *t->name ? "  " : "");
    }
    dm_registry_free(r);
    return rc;
}

static int run(cli_call *call)
{
    const char *path = call->argument[0];
    char *text = NULL;
    dm_err err = {0};
    size_t n = 0;
    FILE *to;

    if (output_check(&(const output_file){path, NULL, false}, 1, false, &err))
        return cli_fail(&err);
    if (!(to = open_memstream(&text, &n)))
        return cli_no_memory();
    print(to, call->argument[1] ? images : points, &err);
    if (fclose(to) && !err.code)
        dm_error(&err, DM_ENOMEM, "out of memory");
    if (!err.code && !dm_file_write_atomic(path, text, n, &err))
        cli_print_path(path);
    free(text);
    return err.code ? cli_fail(&err) : 0;
}

const cli_command cmd_init = {
    .name = "init",
    .summary = "write an experiment to begin with",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "FILE.yaml", ".yaml|.yml", "which file?", false},
                                        {CLI_T_CHOICE, "images", "images", NULL, false}, {0}},
    .examples = "  demist init my.yaml && demist train my.yaml\n  demist init photos.yaml images\n",
    .details = "Every key is there with its default and its meaning: points in the plane, or images from a folder.\n",
    .run = run};
