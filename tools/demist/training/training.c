/* Training as a person sees it; see training.h. */
#include "training/training.h"

#include <stdio.h>

#include "terminal/signals.h"

int training_run(const cli_call *call, const char *file, dm_train_options *o)
{
    cli_terminal *t = cli_terminal_new(&call->common);
    dm_err err = {0};
    dm_status rc;

    if (!t)
        return cli_no_memory();
    o->size = sizeof *o;
    o->argc = call->argc;
    o->argv = (const char *const *)call->argv;
    o->overrides = call->overrides;
    o->n_overrides = call->n_overrides;
    o->callbacks = cli_callbacks(t);
    cli_catch_signals("a checkpoint is saved after this step");
    rc = dm_train(file, o, &err);
    cli_terminal_free(t);
    if (rc == DM_ECANCELLED) {
        fprintf(stderr, "demist: %s\n", err.msg);
        return 75;
    }
    return rc ? cli_fail(&err) : 0;
}
