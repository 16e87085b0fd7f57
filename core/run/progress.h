/* Progress of a long command on a stream, by habit stderr: a bar that redraws itself on a terminal,
 * a plain line at least 10 s after the last elsewhere, or nothing. Not thread-safe. */
#ifndef DEMIST_CORE_PROGRESS_H
#define DEMIST_CORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum dm_progress_mode {
    DM_PROGRESS_AUTO,              /* bar on a terminal unless TERM is dumb, else plain; colour unless NO_COLOR */
    DM_PROGRESS_BAR, DM_PROGRESS_COLOUR, DM_PROGRESS_PLAIN,
    DM_PROGRESS_JSON,              /* as plain lines, each an object */
    DM_PROGRESS_NONE
} dm_progress_mode;

typedef struct dm_progress_setup {
    FILE *to;
    dm_progress_mode mode;
    const char *what;              /* "step" */
    const char *unit;              /* "images/s" */
    double per_step;               /* units in one step */
    int64_t first, total;          /* steps already done, steps in all */
    bool percent;                  /* steps are hundredths of the work, and shown as such */
    double (*clock)(void *user);   /* seconds from any start; NULL: the system's */
    void *user;
    int width;                     /* columns of the terminal; 0: asks it */
} dm_progress_setup;

typedef struct dm_progress dm_progress;

/* What AUTO means on this stream, with the colour said. */
dm_progress_mode dm_progress_choose(FILE *to, bool colour);
/* The strings are borrowed. NULL when memory is exhausted; the others take NULL and do nothing. */
dm_progress *dm_progress_new(const dm_progress_setup *s);
/* After each step, cheap: draws when it is time. loss: NaN where there is none. */
void dm_progress_step(dm_progress *p, int64_t done, double loss);
/* A message on a line of its own; the bar stays below it. Also with DM_PROGRESS_NONE. */
void dm_progress_message(dm_progress *p, const char *line);
/* The last state; ends the bar's line. Frees p. */
void dm_progress_end(dm_progress *p);

#endif
