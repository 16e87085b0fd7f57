/* Memory that a callback fills, with words behind it that it must leave alone, and NaN where it must write. */
#ifndef DEMIST_CLI_PLUGIN_TEST_GUARD_H
#define DEMIST_CLI_PLUGIN_TEST_GUARD_H

#include "plugin_test/plugin_test.h"

enum { PLUGIN_TEST_GUARD = 16 };   /* words on each side */
/* n doubles that are all NaN, with words on both sides; free them with plugin_test_unguard. NULL: no memory. */
double *plugin_test_guarded(int64_t n);
float *plugin_test_guarded_f32(int64_t n);
/* False where a word on either side was written: "fill() wrote beyond the %lld values of beta" is said then. */
bool plugin_test_intact(plugin_test *t, const double *x, int64_t n, const char *callback, const char *what);
bool plugin_test_intact_f32(plugin_test *t, const float *x, int64_t n, const char *callback, const char *what);
void plugin_test_unguard(double *x);
void plugin_test_unguard_f32(float *x);

#endif
