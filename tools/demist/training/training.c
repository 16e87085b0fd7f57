/* Training as a person sees it; see training.h. */
#include "training/training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/shell_word.h"
#include "experiment/resolved_lines.h"
#include "run/run_paths.h"
#include "terminal/signals.h"

/* Whether what was trained is sampled: a classifier's experiment has no sampler. */
static bool has_sampler(const char *run)
{
    char *path = dm_run_path(run, DM_RUN_CONFIG), *text = NULL;
    dm_resolved_line l = {.section = ""};
    bool found = false;

    if (path && !dm_file_slurp(path, 1 << 20, &text, NULL, NULL))
        for (const char *at = text; dm_resolved_next(&at, &l);)
            found |= l.head && !strcmp(l.section, "sampler");
    free(text);
    free(path);
    return found;
}

/* What can be done with the run now. */
static void say_next(const dm_callbacks *cb, const dm_training_state *state)
{
    char *word = dm_shell_word(state->output), line[4500];

    if (word) {
        snprintf(line, sizeof line,
                 has_sampler(state->output) ? "next:       demist sample %s --count 64 --out samples.png"
                                            : "next:       demist eval %s --metric accuracy",
                 word);
        cb->log(cb->user, DM_LOG_INFO, line);
    }
    free(word);
}

/* A run that was stopped with a step done; *how goes on with it, on the heap. */
static void note_resume(const dm_training_state *state, char **how)
{
    char *word = state->step ? dm_shell_word(state->output) : NULL;
    const size_t n = word ? strlen(word) + 64 : 0;

    if (word && (*how = malloc(n)))
        snprintf(*how, n, "; continue with: demist resume %s", word);
    free(word);
}

static dm_status train(const char *file, dm_train_options *o, char **how, dm_err *err)
{
    dm_training_state state = {.size = sizeof state};
    dm_err ignored = {0};
    dm_training *t;
    dm_status rc;

    if ((rc = dm_training_open(file, o, &t, err)))
        return rc;
    rc = dm_training_run(t, err);
    if ((!rc || rc == DM_ECANCELLED) && !dm_training_info(t, &state, &ignored)) {
        if (rc)
            note_resume(&state, how);
        else if (!cli_is_silent())
            say_next(o->callbacks, &state);
    }
    dm_training_close(t);
    return rc;
}

int training_run(const cli_call *call, const char *file, dm_train_options *o)
{
    cli_terminal *t = cli_terminal_new(&call->common);
    char *how = NULL;
    dm_err err = {0};
    dm_status rc;

    if (!t)
        return cli_no_memory();
    o->size = sizeof *o;
    o->ranks = true;
    o->argc = call->argc;
    o->argv = (const char *const *)call->argv;
    o->overrides = call->overrides;
    o->n_overrides = call->n_overrides;
    o->callbacks = cli_callbacks(t);
    cli_catch_signals("a checkpoint is saved after this step", 75);
    rc = train(file, o, &how, &err);
    cli_terminal_free(t);
    if (rc == DM_ECANCELLED && !cli_is_silent())
        fprintf(stderr, "demist: %s%s\n", err.msg, how ? how : "");
    free(how);
    return rc == DM_ECANCELLED ? 75 : rc ? cli_fail(&err) : 0;
}
