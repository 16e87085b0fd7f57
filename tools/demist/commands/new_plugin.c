/* demist new-plugin: a skeleton that compiles, with its own build file and test. */
#include "embedded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "text/suggest.h"
#include "options/command.h"
#include "plugin/registry.h"

typedef struct request { const char *dir; } request;

static const cli_option options[] = {
    CLI_STRING(request, dir, CLI_T_FOLDER, "dir", 0, "D", NULL, "where (./NAME)"), CLI_END};

typedef struct word { const char *from, *to; } word;

/* text with each word replaced; on the heap, NULL when memory is exhausted. */
static char *fill_in(const char *text, const word *words, int n)
{
    size_t room = strlen(text) + 1, at = 0;
    char *out;

    for (int i = 0; i < n; i++)
        for (const char *p = text; (p = strstr(p, words[i].from)); p++)
            room += strlen(words[i].to);
    if (!(out = malloc(room)))
        return NULL;
    while (*text) {
        int hit = -1;

        for (int i = 0; i < n && hit < 0; i++)
            if (!strncmp(text, words[i].from, strlen(words[i].from)))
                hit = i;
        if (hit < 0) {
            out[at++] = *text++;
        } else {
            memcpy(out + at, words[hit].to, strlen(words[hit].to));
            at += strlen(words[hit].to);
            text += strlen(words[hit].from);
        }
    }
    out[at] = 0;
    return out;
}

static dm_status write_one(const char *path, bool script, const char *text, const word *words, int n, dm_err *err)
{
    char *filled = fill_in(text, words, n);
    const dm_status rc =
        filled ? dm_file_write_atomic(path, filled, strlen(filled), err) : dm_error(err, DM_ENOMEM, "out of memory");

    free(filled);
    if (!rc && script && chmod(path, 0755))
        return dm_file_error(err, "make executable", path);
    return rc;
}

/* What it is called in a plugin's folder; NULL where it is another kind's. */
static const char *target(const dm_embedded *e, dm_kind kind, const char *source)
{
    const size_t n = strlen(e->file), stem = strlen(dm_kind_name(kind));

    if (n <= 2 || strcmp(e->file + n - 2, ".c"))
        return strcmp(e->file, "meson.build.txt") ? e->file : "meson.build";
    return n == stem + 2 && !strncmp(e->file, dm_kind_name(kind), stem) ? source : NULL;
}

static dm_status write_all(dm_kind kind, const char *name, const char *dir, dm_err *err)
{
    const char *section = kind == DM_KIND_DATASET ? "data" : dm_kind_name(kind);
    const word words[] = {{"PLUGIN_NAME", name}, {"PLUGIN_KIND", dm_kind_name(kind)}, {"PLUGIN_SECTION", section},
                          {"PLUGIN_FOLDER", dm_kind_folder(kind)}};
    char source[80], path[4096];
    dm_status rc = DM_OK;

    if (strlen(dir) + sizeof source + 32 > sizeof path)
        return dm_error(err, DM_EINVAL, "'%.60s...' is too long for a folder's name", dir);

    if (mkdir(dir, 0777))
        return errno == EEXIST ? dm_error(err, DM_EINVAL, "'%s' already exists; choose another name or --dir", dir)
                               : dm_file_error(err, "make", dir);
    snprintf(source, sizeof source, "%s.c", name);
    for (int undo = 0; undo <= (rc != DM_OK); undo++) /* what failed leaves nothing behind */
        for (const dm_embedded *e = dm_embedded_templates; e->file && (undo || !rc); e++) {
            const char *file = target(e, kind, source);

            snprintf(path, sizeof path, "%s/%s", dir, file ? file : "");
            if (file && undo)
                unlink(path);
            else if (file)
                rc = write_one(path, !strcmp(file, "test.sh"), e->source, words, 4, err);
        }
    if (rc)
        rmdir(dir);
    return rc;
}

/* Why not, NULL where it is a good name. */
static const char *bad_name(const char *name)
{
    /* What the build files call their own targets, of those that are names here. */
    static const char *const kept[] = {"all", "benchmark", "clean", "coverage", "dist", "distcheck", "install", "phony",
                                       "reconfigure", "test", "uninstall"};

    if (!*name || strlen(name) >= 64 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
        return "is not a valid plugin name; use a-z, 0-9 and _, fewer than 64";
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!strcmp(kept[i], name))
            return "is a name that meson reserves; choose another";
    return NULL;
}

static int unknown_kind(const cli_command *c, const char *kind)
{
    dm_nearest near;

    dm_nearest_init(&near, kind);
    for (int k = 0; k < DM_KIND_COUNT; k++)
        dm_nearest_try(&near, dm_kind_name(k));
    if (near.best)
        return cli_usage(c, "there is no kind '%s'; did you mean '%s'?", kind, near.best);
    return cli_usage(
        c, "there is no kind '%s'; kinds are schedule, grid, guidance, sampler, network, objective, dataset", kind);
}

static int run(cli_call *call)
{
    const char *kind_name = call->argument[0], *name = call->argument[1], *why;
    const request *q = call->options;
    const char *dir = q->dir ? q->dir : name;
    dm_err err = {0};
    int kind = 0;

    while (kind < DM_KIND_COUNT && strcmp(dm_kind_name(kind), kind_name))
        kind++;
    if (kind == DM_KIND_COUNT)
        return unknown_kind(call->command, kind_name);
    if ((why = bad_name(name)))
        return cli_usage(call->command, "'%s' %s", name, why);
    if (write_all(kind, name, dir, &err))
        return cli_fail(&err);
    cli_print_path(dir);
    return 0;
}

const cli_command cmd_new_plugin = {
    .name = "new-plugin",
    .summary = "write the skeleton of a plugin",
    .arguments = (const cli_argument[]){{CLI_T_PLUGIN_KIND, "KIND", NULL, "a kind and a name are needed", false},
                                        {CLI_T_TEXT, "NAME", NULL, "a kind and a name are needed", false}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist new-plugin schedule my_curve\n",
    .details = "Makes a folder with NAME.c, a build file, a test and a README; it compiles and runs as it is. "
               "Kinds: schedule, grid, guidance, sampler, network, objective, dataset.\n",
    .run = run};
