/* The parsers that are fuzzed, each as one function over a file's bytes. Two programs call it: mutated.c with bytes
 * that were changed at random, guided.c with those that libFuzzer makes of what it covers. Whatever comes is an error
 * with a message or what the file says; anything else fails. */
#ifndef DEMIST_TESTS_FUZZ_TARGET_H
#define DEMIST_TESTS_FUZZ_TARGET_H

#include "../unit/scratch.h"

enum { FUZZ_MOST = 1 << 16 };      /* bytes of an input */

typedef struct fuzz_case {
    scratch *dir;                  /* the process's own folder */
    const char *path;              /* of the file with these bytes, NULL where the target has none */
    const char *text;              /* the bytes, without a zero behind them */
    size_t n;
} fuzz_case;

typedef struct fuzz_target {
    const char *name, *file;       /* file: what the bytes are called in the folder; NULL: they are in no file */
    dm_status (*read)(const fuzz_case *c, dm_err *err);
    /* Makes good what a format checks first (checksums, the header's length), or nothing behind it would be reached;
     * NULL where there is no such thing. */
    void (*mend)(unsigned char *b, size_t n);
    void (*begin)(scratch *dir);   /* what else must be in the folder; may be NULL */
} fuzz_target;

/* NULL where there is none of that name. */
const fuzz_target *fuzz_find(const char *name);
/* Makes the folder; fuzz_end removes it, which a failed assertion leaves. */
void fuzz_begin(const fuzz_target *t);
void fuzz_end(void);
/* One input; fails an assertion where a status has no message. */
dm_status fuzz_one(const fuzz_target *t, const unsigned char *b, size_t n);

/* On the heap, with a zero byte behind; it ends at a zero byte within. */
char *fuzz_string(const fuzz_case *c);

/* ---- arrays.c ---- */
dm_status fuzz_safetensors(const fuzz_case *c, dm_err *err);
dm_status fuzz_checkpoint(const fuzz_case *c, dm_err *err);
dm_status fuzz_guided_diffusion(const fuzz_case *c, dm_err *err);
dm_status fuzz_array(const fuzz_case *c, dm_err *err);
dm_status fuzz_idx(const fuzz_case *c, dm_err *err);
dm_status fuzz_npy(const fuzz_case *c, dm_err *err);
dm_status fuzz_image(const fuzz_case *c, dm_err *err);
dm_status fuzz_archive(const fuzz_case *c, dm_err *err);
void fuzz_table_begin(scratch *dir);
dm_status fuzz_table(const fuzz_case *c, dm_err *err);
dm_status fuzz_inspect(const fuzz_case *c, dm_err *err);
/* ---- runs.c ---- */
dm_status fuzz_events(const fuzz_case *c, dm_err *err);
dm_status fuzz_log(const fuzz_case *c, dm_err *err);
dm_status fuzz_choices(const fuzz_case *c, dm_err *err);
dm_status fuzz_resolved(const fuzz_case *c, dm_err *err);
/* ---- experiments.c ---- */
dm_status fuzz_experiment(const fuzz_case *c, dm_err *err);
dm_status fuzz_formula(const fuzz_case *c, dm_err *err);
/* ---- foreign.c ---- */
dm_status fuzz_foreign(const fuzz_case *c, dm_err *err);
void fuzz_foreign_begin(scratch *dir);
/* ---- texts.c ---- */
dm_status fuzz_json(const fuzz_case *c, dm_err *err);
dm_status fuzz_plain_text(const fuzz_case *c, dm_err *err);
dm_status fuzz_plugin(const fuzz_case *c, dm_err *err);
/* ---- mend.c ---- */
void fuzz_mend_png(unsigned char *b, size_t n);
void fuzz_mend_safetensors(unsigned char *b, size_t n);
void fuzz_mend_npy(unsigned char *b, size_t n);
void fuzz_mend_array(unsigned char *b, size_t n);
void fuzz_mend_events(unsigned char *b, size_t n);

#endif
