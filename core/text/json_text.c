/* JSON that is built and written; see json_text.h. jansson's functions of memory are one pair for the process: here
 * those that were there, with a note of what failed in this thread. */
#include "text/json_text.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>

static _Thread_local bool lost;
static _Thread_local jmp_buf *out_of_parser;
static json_malloc_t before;
static json_free_t before_free;

static void *noted_malloc(size_t n)
{
    void *p = before(n);

    lost |= !p;
    if (!p && out_of_parser)
        longjmp(*out_of_parser, 1);
    return p;
}

static void note_failures(void)
{
    json_get_alloc_funcs(&before, &before_free);
    json_set_alloc_funcs(noted_malloc, before_free);
}

void dm_json_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, note_failures);
    lost = false;
}

bool dm_json_lost(void) { return lost; }

/* jansson's parser (2.14) goes on where it had no memory for a byte of a string, and then writes beyond the string: it
 * is left at once, and what it holds is lost to the process. */
json_t *dm_json_load(const char *text, size_t n, size_t flags, json_error_t *why)
{
    json_t *volatile j = NULL;
    jmp_buf here;

    dm_json_begin();
    out_of_parser = &here;
    if (!setjmp(here))
        j = json_loadb(text, n, flags, why);
    out_of_parser = NULL;
    return j;
}

json_t *dm_json_new(void)
{
    dm_json_begin();
    return json_object();
}

char *dm_json_text(const json_t *j, size_t flags)
{
    char *text = j ? json_dumps(j, flags) : NULL;

    if (!lost)
        return text;
    free(text);
    return NULL;
}
