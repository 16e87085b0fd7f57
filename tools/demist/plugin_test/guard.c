/* Guard words; see guard.h. */
#include "plugin_test/guard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char pattern = 0xa5;

static void *guarded(int64_t n, size_t each)
{
    const size_t side = PLUGIN_TEST_GUARD * each, bytes = (size_t)n * each;
    char *all = malloc(bytes + 2 * side);

    if (!all)
        return NULL;
    memset(all, pattern, bytes + 2 * side);
    return all + side;
}

double *plugin_test_guarded(int64_t n)
{
    double *x = guarded(n, sizeof *x);

    for (int64_t i = 0; x && i < n; i++)
        x[i] = NAN;
    return x;
}

float *plugin_test_guarded_f32(int64_t n)
{
    float *x = guarded(n, sizeof *x);

    for (int64_t i = 0; x && i < n; i++)
        x[i] = NAN;
    return x;
}

static bool intact(plugin_test *t, const void *x, int64_t n, size_t each, const char *callback, const char *what)
{
    const unsigned char *from = x;
    const size_t side = PLUGIN_TEST_GUARD * each, bytes = (size_t)n * each;

    for (size_t i = 0; i < side; i++) {
        if (from[bytes + i] == pattern && *(from - 1 - i) == pattern)
            continue;
        plugin_test_fail(t, "%s writes %s the %lld values of %s; it may write these alone", callback,
                         from[bytes + i] == pattern ? "before" : "beyond", (long long)n, what);
        return false;
    }
    return true;
}

bool plugin_test_intact(plugin_test *t, const double *x, int64_t n, const char *callback, const char *what)
{
    return intact(t, x, n, sizeof *x, callback, what);
}

bool plugin_test_intact_f32(plugin_test *t, const float *x, int64_t n, const char *callback, const char *what)
{
    return intact(t, x, n, sizeof *x, callback, what);
}

void plugin_test_unguard(double *x)
{
    if (x)
        free(x - PLUGIN_TEST_GUARD);
}

void plugin_test_unguard_f32(float *x)
{
    if (x)
        free(x - PLUGIN_TEST_GUARD);
}
