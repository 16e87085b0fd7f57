/* demist sweep: the command line; see sweep.h. */
#include "sweep/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "text/plain_text.h"
#include "files/output.h"
#include "files/source.h"
#include "options/command.h"
#include "report/report.h"
#include "run/run_folder.h"
#include "session/session_read.h"
#include "terminal/signals.h"

typedef struct request {
    const char *dir;
    bool dry;
    int64_t samples;
    cli_list over;
    eval_request eval;
} request;

static const cli_option options[] = {
    CLI_LIST(request, over, "over", "KEY=A,B,...", SWEEP_AXES,
             "a key and its values; commas inside brackets, braces and quotes do not separate"),
    CLI_CHOICE(request, eval.metric, "metric", "NAME", EVAL_METRICS, NULL, "what is measured, as demist eval has it"),
    CLI_STRING(request, eval.features, CLI_T_RUN, "features", 0, "RUN2", NULL,
               "with --metric quality, run whose network computes the features of images"),
    CLI_TEXT(request, eval.layer, "layer", "NAME", "with --metric quality, the layer whose input they are (the last)"),
    CLI_NUMBER(request, eval.count, "count", "N", 4, 1 << 24, NULL, "samples or examples of each cell"),
    CLI_FLAG(request, eval.raw, "raw", "the weights as trained, not their first average"),
    CLI_NUMBER(request, samples, "samples", "N", 0, 400, "16",
               "images of each cell for sweep.html (points: many more); 0 = none"),
    CLI_STRING(request, dir, CLI_T_FOLDER, "out", 'o', "DIR", NULL,
               "where results go (sweep/ in the run's folder): sweep.csv, .md, .json, .png and .html, and each cell's "
               "report; with these the same command continues an interrupted sweep"),
    CLI_FLAG(request, dry, "dry-run", "print the cells, do nothing"),
    CLI_END};

typedef struct listener { const dm_callbacks *cb; sweep *s; bool all; } listener;

/* Training and sampling keep silent, but for what is wrong; the sweep itself speaks of cells. */
static void hear(void *user, dm_log_level level, const char *line)
{
    const listener *l = user;

    sweep_hear(&l->s->heard, level, line);
    if (l->all || level <= DM_LOG_WARNING)
        l->cb->log(l->cb->user, level, line);
}

static void hear_progress(void *user, const dm_progress_info *p)
{
    const listener *l = user;

    l->cb->progress(l->cb->user, p);
}

static bool ask_cancelled(void *user)
{
    const listener *l = user;

    return l->cb->cancelled(l->cb->user);
}

DM_PRINTF(2, 3) static void say(const dm_callbacks *cb, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cb->log(cb->user, DM_LOG_INFO, text);
}

static dm_status read_run(sweep *s, dm_err *err)
{
    const char *text;
    dm_session session;
    dm_status rc;

    if ((rc = dm_session_read_run(&session, s->base, NULL, 0, s->request.callbacks, err)))
        return rc;
    text = dm_st_meta(session.checkpoint, "experiment");
    s->run_text = text ? dm_strdup(s->arena, text) : NULL;
    s->output = s->base;
    dm_session_fini(&session);
    if (!s->run_text)
        return dm_error(err, DM_ENOMEM, "out of memory for the sweep");
    if (!s->dir && output_ends_in(s->base, ".safetensors"))
        return dm_error(err, DM_EINVAL, "'%s' is a file: give --out DIR for the results", s->base);
    return DM_OK;
}

static void print_cells(const sweep *s)
{
    for (int k = 0; k < s->n; k++) {
        const sweep_cell *c = &s->cell[k];

        dm_plain_put(stdout, sweep_cell_name(s, c));
        fputs(c->state == SWEEP_REFUSED ? "  refused: " : c->state == SWEEP_FAILED ? "  failed: " : "", stdout);
        dm_plain_put(stdout, c->why);
        putchar('\n');
    }
}

/* One process at a time, and one sweep's keys and metric in a folder; of several ranks the first has it for all. */
static dm_status take_folder(sweep *s, int *lock, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_folder_make(s->dir, err)) || (rc = dm_folder_open(&s->folder, s->dir, err)) ||
        (rc = dm_folder_add(&s->folder, "cells", err)) ||
        (rc = dm_folder_file(&s->folder, "lock", O_RDWR | O_CREAT, lock, NULL, err)))
        return rc;
    if (!flock(*lock, LOCK_EX | LOCK_NB))
        return DM_OK;
    if (errno != EWOULDBLOCK)
        return dm_file_error(err, "lock", s->dir);
    return dm_error(err, DM_EINVAL, "the sweep in '%s' is in use by another process; wait, or give another --out",
                    s->dir);
}

static bool same_names(const json_t *list, const char *const *names, size_t n)
{
    if (json_array_size(list) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(json_array_get(list, i)) || strcmp(json_string_value(json_array_get(list, i)), names[i]))
            return false;
    return true;
}

/* Tables of other keys or another metric are not written over. */
static dm_status check_tables(const sweep *s, dm_err *err)
{
    char *text = NULL;
    const char *names[SWEEP_AXES], *metric;
    json_t *old = NULL;
    bool there;
    size_t n;
    dm_status rc = dm_folder_has(&s->folder, "sweep.json", &there, err);

    for (int i = 0; i < s->n_axes; i++)
        names[i] = s->axis[i].key;
    if (!rc && there && !(rc = dm_file_slurp_in(&s->folder, "sweep.json", 1 << 24, &text, &n, err))) {
        dm_json_read(text, n, "sweep.json", &old, NULL);
        metric = json_string_value(json_object_get(old, "metric"));
        if (!metric || strcmp(metric, s->metric->name) ||
            !same_names(json_object_get(old, "keys"), names, (size_t)s->n_axes))
            rc = dm_error(err, DM_EINVAL, "'%s' has a sweep over other keys or with another metric; use another "
                                          "--out",
                          s->dir);
    }
    json_decref(old);
    free(text);
    return rc;
}

static void tell(const sweep *s, const dm_callbacks *cb, int k)
{
    const sweep_cell *c = &s->cell[k];
    const char *name = sweep_cell_name(s, c);

    if (c->state == SWEEP_DONE)
        say(cb, "%d of %d: %s: %s %.4g, %.1f s%s", k + 1, s->n, *name ? name : "as it is", s->metric->columns[0].name,
            sweep_number(c->report, s->metric->columns[0].path), c->seconds, c->kept ? " (measured before)" : "");
    else
        cb->log(cb->user, DM_LOG_WARNING, dm_sprintf(s->arena, "%d of %d: %s: %s", k + 1, s->n, name, c->why));
}

/* The exit code of what was measured: that of the first failure, if any cell failed, or if all were refused. */
static int outcome(const sweep *s)
{
    int refused = 0;

    for (int k = 0; k < s->n; k++) {
        if (s->cell[k].state == SWEEP_FAILED)
            return dm_status_exit(s->cell[k].code);
        refused += s->cell[k].state == SWEEP_REFUSED;
    }
    return refused == s->n ? 2 : 0;
}

typedef struct page { const sweep *sweep; report report; } page;

static void write_page(void *user, FILE *to, const char *scratch)
{
    page *p = user;

    p->report.to = to;
    p->report.scratch = scratch;
    html_begin(to, "Sweep");
    html_say(to, "%s, measured by %s.", p->sweep->base, p->sweep->metric->name);
    report_sweep(&p->report, "");
    html_end(to);
}

static dm_status run_cells(sweep *s, const dm_callbacks *cb, dm_err *err)
{
    page p = {s, {.run = s->output, .folder = s->folder, .callbacks = cb}};
    dm_err plot = {0}, tables = {0};
    dm_status rc = DM_OK;

    if (s->comm->size > 1)
        rc = sweep_run_together(s, tell, cb, err);
    for (int k = 0; k < s->n && !rc && s->comm->size == 1; k++)
        if (!(rc = sweep_run_cell(s, &s->cell[k], err)))
            tell(s, cb, k);
    if (outcome(s) == 2 || s->comm->rank) /* nothing is measured: no table, that the command may be put right */
        return rc;
    if (sweep_choose_columns(s, &tables) || sweep_write_tables(s, &tables))
        return rc ? rc : dm_error(err, tables.code, "%s", tables.msg);
    if (sweep_plot(s, &plot) == DM_ENOMEM)
        return rc ? rc : dm_error(err, DM_ENOMEM, "%s", plot.msg);
    if (plot.code)
        cb->log(cb->user, DM_LOG_WARNING, dm_sprintf(s->arena, "no plot: %s", plot.msg));
    if (!rc && !(rc = report_page(&s->folder, "sweep.html", write_page, &p, NULL, err)) && p.report.failed)
        rc = dm_error(err, p.report.failed, "'%s/sweep.html' is not whole", s->dir);
    if (!rc)
        say(cb, "written: %s/sweep.csv, .md, .json%s and .html", s->dir, plot.msg[0] ? "" : ", .png");
    return rc;
}

static dm_status begin(sweep *s, bool dry, dm_err *err)
{
    int64_t step;
    dm_status rc;

    if ((s->is_run && (rc = read_run(s, err))) || (rc = sweep_make_cells(s, err)) || dry)
        return rc;
    if (!s->dir && !(s->dir = dm_sprintf(s->arena, "%s/sweep", s->output)))
        return dm_error(err, DM_ENOMEM, "out of memory for a name");
    if (s->request.features && (rc = sweep_identify(s->request.features, s->features, sizeof s->features, &step, err)))
        return dm_error_prefix(err, "--features: ");
    return DM_OK;
}

/* The folder of results, which the first rank makes. */
static dm_status open_folder(sweep *s, int *lock, dm_err *err)
{
    dm_status rc = DM_OK;

    if (!s->comm->rank && !(rc = take_folder(s, lock, err)))
        rc = check_tables(s, err);
    if ((rc = dm_comm_agree(s->comm, rc, NULL, err)))
        return rc;
    if (s->comm->rank)
        rc = dm_folder_open(&s->folder, s->dir, err);
    return dm_comm_agree(s->comm, rc, NULL, err);
}

static int work(sweep *s, const dm_callbacks *cb, bool dry)
{
    dm_err err = {0};
    int lock = -1, done = 0, code;
    dm_status rc = dry ? DM_OK : dm_comm_open(&s->comm, &err);

    if (!rc && !(rc = dm_comm_agree(s->comm, begin(s, dry, &err), NULL, &err)) && dry && !cli_is_silent())
        print_cells(s);
    else if (!rc && !dry && !(rc = open_folder(s, &lock, &err)))
        rc = dm_comm_agree(s->comm, run_cells(s, cb, &err), NULL, &err);
    for (int k = 0; k < s->n; k++)
        done += s->cell[k].state != SWEEP_PLANNED;
    if (rc == DM_ECANCELLED) {
        if (!cli_is_silent())
            fprintf(stderr, "demist: stopped; %d of %d cells are done, and the same command continues\n", done, s->n);
        code = 75;
    } else if (rc) {
        code = cli_fail(&err);
    } else if (dry) {
        code = 0;
    } else {
        if (!cli_is_silent())
            sweep_print_table(s, stdout);
        code = outcome(s);
    }
    if (lock >= 0)
        close(lock);
    dm_comm_close(s->comm);
    return code;
}

static void release(sweep *s)
{
    for (int k = 0; k < s->n; k++)
        json_decref(s->cell[k].report);
    dm_folder_close(&s->folder);
    dm_arena_free(s->arena);
}

static int with_terminal(sweep *s, const cli_common *common, bool dry)
{
    cli_terminal *t = cli_terminal_new(common);
    dm_quality_kept *kept = NULL;
    listener l = {.s = s, .all = common->verbose};
    dm_callbacks cb = {
        .size = sizeof cb, .user = &l, .log = hear, .progress = hear_progress, .cancelled = ask_cancelled};
    int code;

    if (!t)
        return cli_no_memory();
    l.cb = cli_callbacks(t);
    s->request.callbacks = &cb;
    s->request.silent = true;
    s->request.kept = &kept;
    if (!dry)
        cli_catch_signals("stopping, what is measured is kept", 75);
    code = work(s, l.cb, dry);
    dm_quality_kept_free(kept);
    cli_terminal_free(t);
    return code;
}

/* 0, or the exit code. */
static int begin_by(sweep *s, const cli_call *call)
{
    const request *q = call->options;
    dm_err err = {0};
    int code;

    s->request = q->eval;
    s->dir = q->dir;
    s->samples = q->samples;
    s->base = call->argument[0];
    s->fixed = call->overrides;
    s->n_fixed = call->n_overrides;
    s->metric = eval_find(q->eval.metric);
    s->columns = s->metric ? s->metric->columns : NULL;
    if (!q->over.n)
        return cli_usage(call->command, "give --over KEY=A,B,...");
    if ((!q->dry || q->eval.metric) && (code = eval_usage(call->command, &s->request, s->metric)))
        return code;
    if (source_is_model(s->base, &s->is_run, &err))
        return cli_fail(&err);
    for (int i = 0; i < q->over.n; i++)
        if (sweep_add_axis(s, q->over.item[i], &err))
            return cli_fail(&err);
    return 0;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    sweep s = {.folder = {-1, NULL}, .arena = dm_arena_new(), .comm = dm_comm_one()};
    int code;

    if (!s.arena)
        return cli_no_memory();
    if (!(code = begin_by(&s, call)))
        code = with_terminal(&s, &call->common, q->dry);
    release(&s);
    return code;
}

const cli_command cmd_sweep = {
    .name = "sweep",
    .summary = "measure a grid of settings",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "EXP.yaml|RUN", ".yaml|.yml", "give an experiment or a run",
                                         false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .shown = "over|metric",
    .examples = "  demist sweep configs/fashion-mnist.yaml --over sampler.steps=5,10,20,50 --over "
                "sampler.use=ddpm,ddim \\\n"
                "    --over sampler.eta=0,1 --metric quality --features runs/features-fashion-mnist --count 2000\n"
                "  demist sweep configs/moons.yaml --over train.lr=1e-3,3e-3 --over seed=1,2,3 --metric loss\n",
    .details = "EXP.yaml is trained where its output folder is not trained yet, once for all cells that differ in how "
               "they sample, and once for each that differs in how it is trained, in folders of runs/ in the sweep's "
               "that are called by what is swept, as lr=0.001,use=cosine. RUN, a run folder or a checkpoint, is "
               "measured as it is. A key that a cell's plugin does not take is left out of the cell, and cells that "
               "are then alike are one; cells that the experiment's checks refuse are rows that say why. Ctrl-C stops "
               "with what is measured kept (exit code 75). With --verbose, the output of training and sampling is "
               "shown too.\n",
    .ranks = true,
    .run = run};
