/* The lines and the report of the checks; see selftest.h. */
#include "selftest/selftest.h"
#include "base/clock.h"

#include <string.h>

#include <jansson.h>

bool selftest_begin(selftest *t, const char *what)
{
    if ((t->stopped |= t->signalled() != 0))
        return false;
    snprintf(t->what, sizeof t->what, "%s", what);
    fprintf(t->out, "%s ... ", what);
    fflush(t->out);
    t->since = dm_seconds();
    return true;
}

static void report(selftest *t, const char *result, double error, double took, const char *why)
{
    json_t *check = json_pack("{s:s, s:s, s:f}", "check", t->what, "result", result, "seconds", took);

    if (check && error >= 0)
        json_object_set_new(check, "error", json_real(error));
    if (check && why && *why)
        json_object_set_new(check, "reason", json_string(why));
    json_array_append_new(t->checks, check);
}

void selftest_end(selftest *t, selftest_result result, double error, const char *why)
{
    static const char *const names[] = {"passed", "failed", "not possible"}, *const words[] = {"OK", "FAIL", "SKIP"};
    const double took = dm_seconds() - t->since;
    const bool passed = result == SELFTEST_PASSED;

    if (t->signalled() && result != SELFTEST_PASSED) { /* it was not ended */
        t->stopped = true;
        fprintf(t->out, "stopped\n");
        return;
    }
    t->passed += passed;
    t->failed += result == SELFTEST_FAILED;
    t->impossible += result == SELFTEST_IMPOSSIBLE;
    if (passed && error >= 0)
        fprintf(t->out, "OK (error %.1e, %.2f s)\n", error, took);
    else
        fprintf(t->out, "%s%s%s (%.2f s)\n", words[result], passed ? "" : ": ", passed ? "" : why, took);
    fflush(t->out);
    if (t->checks)
        report(t, names[result], error, took, why);
}
