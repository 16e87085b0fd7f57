/* demist init: an experiment to begin with, every key with its meaning. */
#define _XOPEN_SOURCE 700 /* realpath */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "text/plain_text.h"
#include "files/output.h"
#include "init/init.h"
#include "options/command.h"
#include "session/session.h"
#include "session/session_read.h"

typedef struct request { const char *from, *template; bool force; } request;

static const cli_option options[] = {
    CLI_CHOICE(request, template, "template", "NAME", INIT_TEMPLATES, NULL,
               "images with a small network or that of Ho et al. 2020, points in the plane, or images of classes, "
               "which subfolders are; without, points, and small for images"),
    CLI_STRING(request, from, CLI_T_RUN, "from", 0, "DIR", NULL,
               "the experiment of a run, of a checkpoint, or of a folder in diffusers' layout"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite FILE.yaml if it exists"), CLI_END};

enum { MOST_NAME = 100 };          /* bytes of an experiment's name */

/* The last part of a path up to its first dot, as an experiment may be called. */
static void name_of(const char *path, char *name, size_t n)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t end = strlen(path), begin, at = 0;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin && path[begin - 1] != '/';)
        begin--;
    while (begin < end && (path[begin] == '-' || !strchr(allowed, path[begin])))
        begin++;
    for (; begin < end && path[begin] != '.' && at + 1 < n; begin++)
        name[at++] = strchr(allowed, path[begin]) ? path[begin] : '-';
    snprintf(name + at, n - at, "%s", at ? "" : "run");
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
    char name[MOST_NAME + 1 + sizeof "name="] = "name=", *text;
    const char *overrides[] = {name, "output="};
    dm_session s;
    dm_status rc;

    name_of(file, name + strlen(name), MOST_NAME + 1);
    if ((rc = dm_session_read_run(&s, from, overrides, 2, cb, err)))
        return rc;
    if (!(text = dm_experiment_print(s.experiment, false)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the experiment's text");
    if (!rc) {
        fputs("# as ", to);
        dm_plain_put(to, from);
        fputs(" was trained; train.from begins with its weights\n", to);
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

/* The folder as the file can say it: relative paths in it start where it lies. */
static dm_status folder_in(const char *file, const char *folder, dm_arena *a, const char **out, dm_err *err)
{
    char *real;

    *out = folder;
    if (*folder == '/' || !strchr(file, '/'))
        return DM_OK;
    if (!(real = realpath(folder, NULL)))
        return dm_file_error(err, "look at", folder);
    *out = dm_strdup(a, real);
    free(real);
    return *out ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for '%s'", folder);
}

/* One line: what is there, and what the template makes of it. */
static void tell(const init_images *i, const init_experiment *e, const char *folder, const dm_callbacks *cb,
                 dm_arena *a)
{
    const char *text = init_images_text(i, a), *classes = i->classes ? dm_sprintf(a, ", %d classes", i->classes) : "";
    const char *size = "", *line;
    char *shown = dm_strdup(a, folder);

    for (int k = 0; k < e->n; k++)
        if (e->value[k].section == DM_SEC_DATA && !strcmp(e->value[k].key, "size"))
            size = e->value[k].value;
    if (shown)
        dm_plain_text(shown);
    if (shown && text && classes &&
        (line = dm_sprintf(a, "%s: %s%s; data.size is %s", shown, text, classes, size)))
        cb->log(cb->user, DM_LOG_INFO, line);
}

static dm_status print_template(FILE *to, const char *template, const char *folder, const char *file,
                                const dm_callbacks *cb, dm_err *err)
{
    dm_arena *a = dm_arena_new();
    const char *written = NULL;
    char name[MOST_NAME + 1];
    init_images images;
    init_experiment e;
    dm_status rc = a ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");

    name_of(file, name, sizeof name);
    if (!rc && folder && !(rc = init_look(folder, !strcmp(template, "classes"), cb, &images, err)))
        rc = folder_in(file, folder, a, &written, err);
    if (!rc)
        rc = init_template(template, name, folder ? &images : NULL, written, a, &e, err);
    if (!rc && folder)
        tell(&images, &e, folder, cb, a);
    if (!rc)
        rc = init_print(to, &e, a, err);
    dm_arena_free(a);
    return rc;
}

/* What the file is called where it was not said: as the folder, the template, or "images"; "" = it has to be said. */
static void default_file(const cli_call *call, char *path, size_t n)
{
    const request *q = call->options;
    const char *images = call->argument[1], *folder = call->argument[2];
    char name[MOST_NAME + 1];

    *path = 0;
    if (q->from || (!images && !q->template))
        return;
    name_of(folder ? folder : q->template ? q->template : images, name, sizeof name);
    snprintf(path, n, "%s.yaml", name);
}

static int run(cli_call *call)
{
    const request *q = call->options;
    const char *images = call->argument[1], *folder = call->argument[2];
    const char *template = q->template ? q->template : images ? "small" : "points";
    char named[MOST_NAME + sizeof ".yaml"];
    const char *path = call->argument[0] ? call->argument[0] : named;
    dm_path_kind kind;
    cli_terminal *t;
    char *text = NULL;
    dm_err err = {0};
    size_t n = 0;
    FILE *to;

    default_file(call, named, sizeof named);
    if (path == named && !*named)
        return cli_usage(call->command, "give a file");
    if (q->from && (images || q->template))
        return cli_usage(call->command, "--from and %s exclude each other", images ? "'images'" : "--template");
    if (images && !strcmp(template, "points"))
        return cli_usage(call->command, "the template points is without images");
    if (dm_path_look(path, &kind, &err))
        return cli_fail(&err);
    if (kind == DM_PATH_FOLDER)
        return cli_usage(call->command, "'%s' is a folder; demist init images %s makes an experiment of its images",
                         path, path);
    if (output_check(&(const output_file){path, NULL, false}, 1, q->force, &err))
        return cli_fail(&err);
    t = cli_terminal_new(&call->common);
    to = open_memstream(&text, &n);
    if (!t || !to)
        dm_error(&err, DM_ENOMEM, "out of memory");
    else if (q->from)
        print_from(to, q->from, path, cli_callbacks(t), &err);
    else
        print_template(to, template, folder, path, cli_callbacks(t), &err);
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
    .arguments = (const cli_argument[]){{CLI_T_FILE, "FILE.yaml", ".yaml|.yml", NULL, false},
                                        {CLI_T_CHOICE, "images", "images", NULL, false},
                                        {CLI_T_FOLDER, "FOLDER", NULL, NULL, false}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist init my.yaml && demist train my.yaml\n  demist init images photos\n"
                "  demist init faces.yaml images photos --template classes\n"
                "  demist init again.yaml --from runs/moons\n",
    .details = "Lists every key with its value and its meaning: points in the plane, or images from a folder. Of a "
               "FOLDER of images, which may be a .zip or .tar file of them, sizes and channels are inspected: "
               "data.size, data.channels and the levels of the network follow from them. Without FILE.yaml the file "
               "is named after the folder or the template.\n",
    .run = run};
