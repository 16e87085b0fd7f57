/* Words of a shell; see shell_word.h. */
#include "text/shell_word.h"

#include <stdlib.h>
#include <string.h>

char *dm_shell_word(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
    const size_t n = strlen(name);
    char *const word = malloc(4 * n + 3), *to = word;

    if (!word)
        return NULL;
    if (n && strspn(name, plain) == n)
        return memcpy(word, name, n + 1);
    *to++ = '\'';
    for (; *name; name++) {
        if (*name == '\'') {
            memcpy(to, "'\\''", 4);
            to += 4;
        } else {
            *to++ = *name;
        }
    }
    memcpy(to, "'", 2);
    return word;
}
