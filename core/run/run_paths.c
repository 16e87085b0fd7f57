/* Names within a run folder; see run_paths.h. */
#include "run/run_paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *dm_run_path(const char *dir, const char *name)
{
    const size_t n = strlen(dir) + strlen(name) + 2;
    char *p = malloc(n);

    if (p)
        snprintf(p, n, "%s/%s", dir, name);
    return p;
}
