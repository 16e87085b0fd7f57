/* Text from outside as text alone: names of files, keys and values are anything, and terminals and gnuplot obey some
 * of it. What is obeyed: control characters (C0, DEL, and C1 in UTF-8), characters that turn the direction of writing,
 * line and paragraph separators, and bytes that are no UTF-8. */
#ifndef DEMIST_CORE_PLAIN_TEXT_H
#define DEMIST_CORE_PLAIN_TEXT_H

#include <stdio.h>

/* Bytes of the UTF-8 character at s, 0 where there is none. */
int dm_utf8_length(const char *s);
/* The same, 0 also for what is obeyed; newlines and tabs are. */
int dm_plain_length(const char *s);
/* Each of those becomes one '?', newlines and tabs excepted. */
void dm_plain_text(char *s);
/* As one line: newlines and tabs are spaces, what else is obeyed is '?'. */
void dm_plain_put(FILE *to, const char *s);

#endif
