/* A folder of its own for a test, below the working directory, and small files in it. */
#ifndef DEMIST_TESTS_SCRATCH_H
#define DEMIST_TESTS_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

typedef struct scratch { char dir[64], path[4][1024]; int next; } scratch;

scratch scratch_new(void);
/* The path of a file in it; four at a time. */
const char *scratch_path(scratch *s, const char *name);
const char *scratch_file(scratch *s, const char *name, const void *data, size_t n);
/* All of a file, on the heap. */
unsigned char *scratch_read(const char *path, size_t *n);
/* Entries in a folder, but for . and .. */
int scratch_entries(const char *dir);
void scratch_remove(const char *dir);
/* A committed file of tests/unit/data. */
const char *scratch_data(char *to, size_t n, const char *name);

void assert_status(dm_status got, dm_status want, const dm_err *err);
/* The call failed with this code and says this. */
void assert_fails(dm_status got, dm_status want, const dm_err *err, const char *says);

#endif
