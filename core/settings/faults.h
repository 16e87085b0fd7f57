/* Faults of an experiment: all of them are collected, each with the place it came from and, where
 * the text is at hand, its line with a caret. */
#ifndef DEMIST_CORE_FAULTS_H
#define DEMIST_CORE_FAULTS_H

#include "base/arena.h"
#include "base/error.h"

/* A text that values come from: a file, or one override. Outlives what points to it. */
typedef struct dm_origin {
    const char *name;              /* of the file, or the override's place, as messages show it */
    const char *text;
    size_t n;
    const char *dir;               /* absolute folder where relative paths start; "" = not known */
    int32_t argument;              /* 0 = a file; N = the N-th override */
} dm_origin;

/* line and column count from 1, in characters; line 0 = the source as a whole. */
typedef struct dm_mark { const dm_origin *source; uint32_t line, column; } dm_mark;

/* "file:line:col", or an override's place; on the arena, NULL when memory is exhausted. */
const char *dm_mark_text(dm_arena *a, dm_mark at);

/* Where the n-th character, from 1, of the value at a mark is, one behind its last among them; the mark itself where
 * the source has the value otherwise than it is: with escapes, or over several lines. */
dm_mark dm_mark_within(dm_mark at, uint32_t n);

/* text: all that is wrong, one line each, "file:line:col: error: key: message", followed by the line
 * itself, indented. notes: what was dropped by an override, what the plugins' search warned of; one line
 * each. Both NULL where there are none. */
typedef struct dm_faults {
    char *text;
    int count;                     /* text holds at most 100 of them */
    char *notes;
    dm_err first;
    bool lost;                     /* memory was exhausted: something is missing */
} dm_faults;

void dm_faults_fini(dm_faults *f);
void dm_fault(dm_faults *f, dm_status code, dm_mark at, const char *fmt, ...) DM_PRINTF(4, 5);
void dm_fault_note(dm_faults *f, const char *fmt, ...) DM_PRINTF(2, 3);

/* A value for a message: at most 60 bytes of it, nothing unprintable. */
typedef struct dm_shown { char text[64]; } dm_shown;
dm_shown dm_show(const char *s);

#endif
