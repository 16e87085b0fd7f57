/* JSON that is built and written. jansson does not say of a member that it had no memory for: this does. */
#ifndef DEMIST_CORE_JSON_TEXT_H
#define DEMIST_CORE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

/* From here on, what jansson has no memory for in this thread is noted. */
void dm_json_begin(void);
bool dm_json_lost(void);           /* something, since dm_json_begin */
/* json_loadb; NULL also where memory ran out, which dm_json_lost tells. */
json_t *dm_json_load(const char *text, size_t n, size_t flags, json_error_t *why);
/* An object to build, after dm_json_begin. */
json_t *dm_json_new(void);
/* On the heap. NULL where memory ran out, also while the value was built, since dm_json_begin. */
char *dm_json_text(const json_t *j, size_t flags);

#endif
