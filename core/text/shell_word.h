/* A name as one word of a shell's command line, for the commands that messages propose. */
#ifndef DEMIST_CORE_SHELL_WORD_H
#define DEMIST_CORE_SHELL_WORD_H

/* On the heap, quoted only where it must be; NULL when memory is exhausted. */
char *dm_shell_word(const char *name);

#endif
