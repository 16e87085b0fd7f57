/* Documentation from the tables that parse and check: a plugin, the list of all, the whole config
 * reference. What is written here cannot differ from what is accepted. */
#ifndef DEMIST_CORE_DESCRIBE_H
#define DEMIST_CORE_DESCRIBE_H

#include <stdio.h>

#include "plugin/registry.h"

/* All of these write text and fail only where memory is exhausted; the caller looks at ferror(to). */

/* "schedule cosine: ..." and one line a parameter. file: where it came from, may be NULL. */
dm_status dm_describe_plugin(FILE *to, dm_kind kind, const dm_plugin *p, const char *file, dm_err *err);
/* A section's own keys, in the same form. */
dm_status dm_describe_section(FILE *to, dm_section_id id, dm_err *err);
/* One line a plugin, by kind (DM_KIND_COUNT = all), with the file of the user's own and what it hides, and at the end
 * those that were refused, *refused of them, and why. */
dm_status dm_describe_list(FILE *to, dm_registry *r, dm_kind kind, int *refused, dm_err *err);
/* The config reference as Markdown: every section, and all plugins that r finds. */
dm_status dm_describe_reference(FILE *to, dm_registry *r, dm_err *err);

#endif
