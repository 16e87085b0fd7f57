/* The lines of an experiment as dm_experiment_print writes it, without parsing: a key and its value each. */
#ifndef DEMIST_CORE_RESOLVED_LINES_H
#define DEMIST_CORE_RESOLVED_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { DM_RESOLVED_KEY = 256 };

typedef struct dm_resolved_line {
    char section[64];              /* that it stands in, or begins; "" for a key of the top level */
    const char *text;              /* the line without its indent */
    const char *key, *value;       /* within it; what they hold is text, whoever wrote it */
    int length, key_length, value_length;
    bool head;                     /* it begins a section */
} dm_resolved_line;

/* The next line; *l must be zeroed before the first. false at the end. */
bool dm_resolved_next(const char **at, dm_resolved_line *l);
/* "section.key", or "key" of the top level and of a line that begins a section; returns it. */
const char *dm_resolved_key(const dm_resolved_line *l, char key[DM_RESOLVED_KEY]);

#endif
