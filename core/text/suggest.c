/* The nearest known name for one that is not known; see suggest.h. */
#include "text/suggest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 64 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Optimal string alignment: three rows of the table are enough. */
size_t dm_edit_distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    size_t rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *now = rows[2], *spare;

    if (n > LONGEST || m > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = least(least(last[j] + 1, now[j - 1] + 1), last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

void dm_nearest_init(dm_nearest *n, const char *wanted)
{
    const size_t length = strlen(wanted), edits = length < 4 ? 1 : length < 6 ? 2 : length / 3;

    *n = (dm_nearest){wanted, NULL, edits + 1};
}

void dm_nearest_try(dm_nearest *n, const char *candidate)
{
    const size_t d = dm_edit_distance(n->wanted, candidate);

    if (d < n->distance && d < strlen(candidate)) {
        n->distance = d;
        n->best = candidate;
    }
}
