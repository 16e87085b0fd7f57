/* The parameter engine: one row (dm_param of the public header) is a YAML key with its type, default,
 * range and sentence of documentation. Values are typed by their row, never by how they look: 1e-4 is
 * a real, only true and false are booleans, `no` is text. */
#ifndef DEMIST_CORE_PARAM_H
#define DEMIST_CORE_PARAM_H

#include "base/arena.h"
#include "base/error.h"

/* quoted: written in quotes, so text for certain. */
typedef struct dm_scalar { const char *text; bool quoted; } dm_scalar;
/* A scalar is one item with list = false; where a list belongs it is a list of one. */
typedef struct dm_param_value { bool list; int32_t n; const dm_scalar *item; } dm_param_value;

/* Checks v against the row and stores it at row->offset of cfg; what it points to is copied to a.
 * Relative paths start in the absolute folder dir. The message says the value and what is allowed,
 * not the key. *bad (NULL is fine) on failure: the list's item at fault, -1 = the value as a whole. */
dm_status dm_param_set(const dm_param *row, const dm_param_value *v, const char *dir, dm_arena *a, void *cfg,
                       int32_t *bad, dm_err *err);
/* The same from text as a row's default has it: "[1, 2]", "0.5", and for text and paths all of it as it is. */
dm_status dm_param_set_text(const dm_param *row, const char *text, const char *dir, dm_arena *a, void *cfg,
                            dm_err *err);

/* The stored value as YAML that dm_param_set reads back as the same. NULL when memory is exhausted. */
char *dm_param_print(const dm_param *row, const void *cfg, dm_arena *a);
/* text as a YAML scalar, quoted where it must be. */
char *dm_param_quote(const char *text, dm_arena *a);

/* A row of the host's own: a text, or a list of texts, which is kept as one with a comma between its items. */
#define DM_TEXTS(S, f, def, doc) {DM_T_STRING, #f, DM_AT(S, f, const char *), def, 0, 0, ",", "", doc}
bool dm_param_is_texts(const dm_param *row);

/* "int", "real", "list of int", ... */
const char *dm_param_type(const dm_param *row);
/* What is allowed, for documentation and messages: "[0, 1]", "0 or above", "any", "eps|x0|v", "" where it is text. */
char *dm_param_range(const dm_param *row, dm_arena *a);
static inline bool dm_param_is_list(const dm_param *row)
{
    return row->type == DM_T_INTS || row->type == DM_T_REALS || row->type == DM_T_ENUMS;
}
/* Bytes of the row's field. */
size_t dm_param_size(const dm_param *row);
/* The row of this name among rows (NULL = none), or NULL. */
const dm_param *dm_param_find(const dm_param *rows, const char *name);
int32_t dm_param_count(const dm_param *rows);

bool dm_text_is_utf8(const char *s);

/* [a-z0-9_]+, at most 64 bytes: what a plugin or a parameter may be called. */
bool dm_name_ok(const char *name);

/* Whether a plugin's table can be used: names fit and are unique, differ from `use` and from the host's
 * rows, fields lie inside cfg_size bytes and apart, ranges hold and every default parses and is in range. */
dm_status dm_param_check(const dm_param *rows, uint32_t cfg_size, const dm_param *host, dm_err *err);

#endif
