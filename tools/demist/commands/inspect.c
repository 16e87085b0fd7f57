/* demist inspect: what is in a file, and what a network will see of a data set. */
#include "options/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/data_alone.h"
#include "format/inspect.h"
#include "files/output.h"
#include "settings/param.h"

static int run(int argc, char **argv);

const cli_command cmd_inspect = {
    "inspect", "inspect FILE | (FOLDER | EXP.yaml) [key=value ...] [--preview F.png [--test] [--count N]]",
    "show what is in a safetensors, npy or idx file, or in data",
    "  demist inspect runs/fashion-mnist/checkpoints/best.safetensors\n"
    "  demist inspect photos data.size=64 data.crop=center --preview seen.png\n\n"
    "Of a file names, types, shapes, ranges, and how many values are not finite. Nothing is executed.\n"
    "Of a folder of images, or of an experiment's data: how many, of what size, which classes; keys of data may be "
    "given.\n"
    "  --preview F.png  some of them, cut, resized and in the channels that the network will see\n"
    "  --test           of the test split\n"
    "  --count N        so many (64)\n"
    "  --force          overwrite F.png if it is there\n",
    run};

static void print_line(void *user, const char *text) { fprintf(user, "%s\n", text); }

/* The experiment that a folder of images is; on the heap. */
static char *text_of(const char *folder)
{
    static const char before[] = "data: {use: image_folder, folder: ", behind[] = "}\n";
    dm_arena *a = dm_arena_new();
    const char *name = a ? dm_param_quote(folder, a) : NULL;
    const size_t n = name ? strlen(name) + sizeof before + sizeof behind : 0;
    char *text = n ? malloc(n) : NULL;

    if (text)
        snprintf(text, n, "%s%s%s", before, name, behind);
    dm_arena_free(a);
    return text;
}

typedef struct request { const char *what, *preview; bool folder, test; int64_t count; } request;

static dm_status look_at_data(const request *q, int argc, char **argv, const cli_common *common, dm_err *err)
{
    char *text = q->folder ? text_of(q->what) : NULL;
    cli_terminal *t = cli_terminal_new(common);
    dm_data_alone a;
    dm_status rc = t && (text || !q->folder) ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");

    if (!rc) {
        rc = dm_data_alone_open(&a, q->what, text, (const char *const *)argv + optind + 1, argc - optind - 1,
                                cli_callbacks(t), err);
    }
    if (!rc) {
        rc = dm_data_preview(&a, q->test ? "test" : "train", q->count, q->preview, print_line, stdout, err);
        dm_data_alone_close(&a);
    }
    if (!rc && q->preview)
        printf("%s\n", q->preview);
    cli_terminal_free(t);
    free(text);
    return rc;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"preview", required_argument, NULL, 'p'}, {"test", no_argument, NULL, 't'},
        {"count", required_argument, NULL, 'n'},   {"force", no_argument, NULL, 'f'}, CLI_COMMON};
    request q = {.count = 64};
    cli_common common = {0};
    dm_err err = {0};
    struct stat st;
    bool done, force = false;
    int opt, code;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1)
        switch (opt) {
        case 'p': q.preview = optarg; break;
        case 't': q.test = true; break;
        case 'n': if (!cli_int(&cmd_inspect, "--count", optarg, 1, 4096, &q.count)) return 2; break;
        case 'f': force = true; break;
        default:
            if (cli_common_option(&cmd_inspect, opt, argv, &common, &done, &code) && done)
                return code;
        }
    if (optind >= argc)
        return cli_usage(&cmd_inspect, "which file or folder?");
    q.what = argv[optind];
    q.folder = !stat(q.what, &st) && S_ISDIR(st.st_mode);
    if (q.folder || output_ends_in(q.what, ".yaml") || output_ends_in(q.what, ".yml")) {
        if (output_check(&(const output_file){q.preview, ".png", false}, 1, force, &err) ||
            look_at_data(&q, argc, argv, &common, &err))
            return cli_fail(&err);
        return 0;
    }
    if (optind != argc - 1 || q.preview)
        return cli_usage(&cmd_inspect,
                         q.preview ? "--preview is for folders of images and experiments" : "which file?");
    return dm_inspect(q.what, stdout, &err) ? cli_fail(&err) : 0;
}
