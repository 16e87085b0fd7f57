/* demist report: the command line, and the order of the parts; see report.h. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "files/output.h"
#include "run/run_folder.h"

static int run(int argc, char **argv);

const cli_command cmd_report = {
    "report", "report RUN [key=value ...] [--out F.html] [--no-samples] [--force]", "a run as one HTML file",
    "  demist report runs/fashion-mnist\n  demist report runs/fashion-mnist sampler.steps=20 --out fashion.html\n\n"
    "The file needs nothing else: its images are inside, it has no scripts and loads nothing. It shows the training's\n"
    "curves, samples and how they came about, the last report of each metric of demist eval, the sweep in the run's\n"
    "folder, the device and the experiment. key=value: samples by another sampler, or on another device.\n"
    "  --out F.html    where (RUN/report.html, which is written over)\n"
    "  --no-samples    draw none: no device is needed\n"
    "  --force         overwrite F.html if it is there\n",
    run};

static void write_parts(report *r)
{
    const char *slash;
    char name[300];
    size_t n = strlen(r->run);

    while (n > 1 && r->run[n - 1] == '/')
        n--;
    snprintf(name, sizeof name, "%.*s", (int)n, r->run);
    slash = strrchr(name, '/');
    html_begin(r->to, slash && slash[1] ? slash + 1 : name);
    report_head(r);
    report_samples(r);
    report_curves(r);
    report_quality(r);
    report_likelihood(r);
    report_loss(r);
    report_accuracy(r);
    report_sweep(r);
    report_experiment(r);
    html_end(r->to);
}

/* The page in memory, so that nothing of it is on the disk before all is. */
static dm_status make(report *r, const char *out, dm_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char folder[4096], *page = NULL;
    size_t n = 0;
    dm_status rc;

    snprintf(folder, sizeof folder, "%.4000s/demist-report-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return dm_file_error(err, "create folder", folder);
    r->scratch = folder;
    if (!(r->to = open_memstream(&page, &n))) {
        rmdir(folder);
        return dm_error(err, DM_ENOMEM, "out of memory for the report");
    }
    write_parts(r);
    rmdir(folder);
    rc = fclose(r->to) ? dm_error(err, DM_ENOMEM, "out of memory for the report") : DM_OK;
    if (!rc && r->callbacks && r->callbacks->cancelled(r->callbacks->user))
        rc = dm_error(err, DM_ECANCELLED, "stopped");
    if (!rc)
        rc = dm_file_write_in(out ? NULL : &r->folder, out ? out : "report.html", page, n, err);
    free(page);
    return rc;
}

static dm_status open_run(report *r, dm_err *err)
{
    const dm_status rc = dm_folder_open(&r->folder, r->run, err);

    if (rc || dm_folder_has(&r->folder, DM_RUN_CONFIG))
        return rc;
    return dm_error(err, DM_EINVAL, "'%s' is not a run folder: it has no " DM_RUN_CONFIG, r->run);
}

static int write_report(report *r, const char *out, const cli_common *common)
{
    cli_terminal *t = cli_terminal_new(common);
    char *path = out ? strdup(out) : dm_run_path(r->run, "report.html");
    dm_err err = {0};
    dm_status rc = t && path ? DM_OK : dm_error(&err, DM_ENOMEM, "out of memory");

    if (!rc) {
        r->callbacks = cli_callbacks(t);
        cli_catch_signals("stopping, no report is written");
        rc = make(r, out, &err);
    }
    cli_terminal_free(t);
    if (!rc)
        cli_print_path(path);
    free(path);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : r->failed ? dm_status_exit(r->failed) : 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'},
                                            {"no-samples", no_argument, NULL, 'n'},
                                            {"force", no_argument, NULL, 'f'}, CLI_COMMON};
    report r = {.draw = true, .folder = {-1, NULL}};
    bool force = false, done;
    const char *out = NULL;
    cli_common common = {0};
    dm_err err = {0};
    int opt, code;

    while ((opt = getopt_long(argc, argv, ":hqvfo:", options, NULL)) != -1) {
        if (opt == 'o')
            out = optarg;
        else if (opt == 'n')
            r.draw = false;
        else if (opt == 'f')
            force = true;
        else if (cli_common_option(&cmd_report, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind >= argc)
        return cli_usage(&cmd_report, "which run?");
    r.run = argv[optind];
    r.overrides = (const char *const *)argv + optind + 1;
    r.n_overrides = argc - optind - 1;
    if (open_run(&r, &err) || output_check(&(const output_file){out, ".html", false}, 1, force, &err))
        code = cli_fail(&err);
    else
        code = write_report(&r, out, &common);
    dm_folder_close(&r.folder);
    return code;
}
