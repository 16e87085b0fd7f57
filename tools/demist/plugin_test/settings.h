/* Settings of the plugin under test, tried without a device. */
#ifndef DEMIST_CLI_PLUGIN_TEST_SETTINGS_H
#define DEMIST_CLI_PLUGIN_TEST_SETTINGS_H

#include "plugin_test/plugin_test.h"

/* with: what it works with: "points f32[2]". */
typedef struct plugin_test_setting { bool works; const char *with; } plugin_test_setting;
/* Of a network and an objective the first kind of data that it takes. *why: where it does not work, in one line. */
dm_status plugin_test_try(plugin_test *t, const char *const *changes, plugin_test_setting *s, const char **why,
                          dm_err *err);
/* Each value at random, the same for a number: "key=value", ends with NULL; NULL where memory is exhausted. */
const char *const *plugin_test_random(plugin_test *t, uint32_t number);
/* "a=1 b=2", for messages. */
const char *plugin_test_show(plugin_test *t, const char *const *changes);

/* Kinds of data that a network or an objective may take, from small to large. Ends with a NULL name. */
typedef struct plugin_test_data {
    const char *name;
    dm_shape shape;
    int32_t classes, levels;
} plugin_test_data;
extern const plugin_test_data plugin_test_datas[];
/* These, or, where data.* was given, what that says alone; NULL was said. */
const plugin_test_data *plugin_test_list(plugin_test *t);
/* More of why nothing is taken: each reason once, with the first kind of data that it is of; NULL: no memory. */
const char *plugin_test_add_reason(plugin_test *t, const char *said, const plugin_test_data *d, const char *why);
dm_data_info plugin_test_info(const plugin_test_data *d);
/* The changes, one behind the other. */
const char *const *plugin_test_both(plugin_test *t, const char *const *a, const char *const *b);
/* The first kind of data that the plugin takes, with these changes; NULL where there is none: *why. */
const plugin_test_data *plugin_test_taken(plugin_test *t, const char *const *changes, const char **why, dm_err *err);
/* Whether it does not take these: *why. */
bool plugin_test_refused(plugin_test *t, const plugin_test_data *d, const char **why, dm_err *err);
/* Files of data that the plugin takes, and the changes by which an experiment reads them; ends with NULL. NULL was
 * said. */
const char *const *plugin_test_data_of(plugin_test *t);

#endif
