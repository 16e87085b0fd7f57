/* demist init: an experiment to begin with, every key with its meaning. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "files/output.h"
#include "options/command.h"
#include "plugin/registry.h"
#include "session/session.h"
#include "session/session_read.h"
#include "settings/param.h"
#include "settings/settings.h"

typedef struct request { const char *from; } request;

static const cli_option options[] = {
    CLI_STRING(request, from, CLI_T_RUN, "from", 0, "DIR", NULL,
               "the experiment of a run, of a checkpoint, or of a folder in diffusers' layout"), CLI_END};

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

static dm_status rows(FILE *to, const dm_param *p, const char *indent, dm_arena *a, dm_err *err)
{
    const char *range;

    for (; p && p->type != DM_T_END; p++) {
        const bool text = p->type == DM_T_STRING || p->type == DM_T_PATH;

        fprintf(to, "%s%s%s: %s%s%s", indent, p->def ? "" : "# ", p->name, text && p->def ? "\"" : "",
                p->def ? p->def : "(needed)", text && p->def ? "\"" : "");
        fprintf(to, "  # %s", p->doc);
        if (p->choices)
            fprintf(to, " (%s)", p->choices);
        else if (p->type == DM_T_INT || p->type == DM_T_REAL) {
            if (!(range = dm_param_range(p, a)))
                return dm_error(err, DM_ENOMEM, "out of memory");
            fprintf(to, ": %s", range);
        }
        fprintf(to, "\n");
    }
    return DM_OK;
}

static dm_status print(FILE *to, const char *const *use, dm_err *err)
{
    dm_arena *a = dm_arena_new();
    dm_registry *r = NULL;
    dm_status rc = a ? dm_registry_new(NULL, &r, err) : dm_error(err, DM_ENOMEM, "out of memory");

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
            rc = rows(to, p->params, "  ", a, err);
        }
        if (!rc)
            rc = rows(to, t->rows, *t->name ? "  " : "", a, err);
    }
    dm_registry_free(r);
    dm_arena_free(a);
    return rc;
}

/* The experiment's text, but for where the other went. */
static void put_experiment(FILE *to, const char *text)
{
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        if (strncmp(text, "output: ", 8))
            fprintf(to, "%.*s\n", (int)n, text);
    }
}

/* The same experiment as that of a trained model, under the file's name. */
static dm_status print_from(FILE *to, const char *from, const char *file, const dm_callbacks *cb, dm_err *err)
{
    const char *slash = strrchr(file, '/'), *stem = slash ? slash + 1 : file;
    char name[300], *text;
    const char *overrides[] = {name, "output="};
    dm_session s;
    dm_status rc;

    snprintf(name, sizeof name, "name=%.*s", (int)strcspn(stem, "."), stem);
    if ((rc = dm_session_read_run(&s, from, overrides, 2, cb, err)))
        return rc;
    if (!(text = dm_experiment_print(s.experiment, false)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the experiment's text");
    if (!rc) {
        fprintf(to, "# as %s was trained; train.from begins with its weights\n", from);
        put_experiment(to, text);
        if (!s.experiment->section[DM_SEC_DATA].plugin && s.data.shape.rank == 3)
            fprintf(to, "data:  # what to train on: say where the images are\n  use: image_folder\n  folder: photos\n"
                        "  size: [%lld, %lld]\n  channels: %lld\n", (long long)s.data.shape.dim[1],
                    (long long)s.data.shape.dim[2], (long long)s.data.shape.dim[0]);
    }
    free(text);
    dm_session_fini(&s);
    return rc;
}

static int run(cli_call *call)
{
    const char *path = call->argument[0], *from = ((request *)call->options)->from;
    cli_terminal *t;
    char *text = NULL;
    dm_err err = {0};
    size_t n = 0;
    FILE *to;

    if (from && call->argument[1])
        return cli_usage(call->command, "--from and 'images' exclude each other");
    if (output_check(&(const output_file){path, NULL, false}, 1, false, &err))
        return cli_fail(&err);
    t = cli_terminal_new(&call->common);
    to = open_memstream(&text, &n);
    if (!t || !to)
        dm_error(&err, DM_ENOMEM, "out of memory");
    else if (from)
        print_from(to, from, path, cli_callbacks(t), &err);
    else
        print(to, call->argument[1] ? images : points, &err);
    if (to && fclose(to) && !err.code)
        dm_error(&err, DM_ENOMEM, "out of memory");
    if (!err.code && !dm_file_write_atomic(path, text, n, &err))
        cli_print_path(path);
    free(text);
    cli_terminal_free(t);
    return err.code ? cli_fail(&err) : 0;
}

const cli_command cmd_init = {
    .name = "init",
    .summary = "write an experiment to begin with",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "FILE.yaml", ".yaml|.yml", "which file?", false},
                                        {CLI_T_CHOICE, "images", "images", NULL, false}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist init my.yaml && demist train my.yaml\n  demist init photos.yaml images\n"
                "  demist init again.yaml --from runs/moons\n",
    .details = "Every key is there with its default and its meaning: points in the plane, or images from a folder.\n",
    .run = run};
