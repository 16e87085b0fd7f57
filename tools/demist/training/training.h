/* Training as a person sees it, for train and resume. */
#ifndef DEMIST_CLI_TRAINING_H
#define DEMIST_CLI_TRAINING_H

#include "options/command.h"

/* Trains the experiment in file by the call's overrides; the exit code, 75 where it was stopped with a checkpoint
 * saved. */
int training_run(const cli_call *call, const char *file, dm_train_options *o);

#endif
