/* What a command is given: an experiment's file, or a model that was made of one. */
#ifndef DEMIST_CLI_SOURCE_H
#define DEMIST_CLI_SOURCE_H

#include <stdbool.h>

#include <demist/demist.h>

/* A folder or a file of weights is a model, all else an experiment's file. */
dm_status source_is_model(const char *path, bool *is, dm_err *err);

#endif
