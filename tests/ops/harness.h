/* Runs every implementation of an op that supports the device and compares it with a plain C reference in double
 * precision, in f32 and, where the op may, in bf16 and f16: results, guard words around every buffer, inputs untouched,
 * accumulation, the same bits twice. */
#ifndef DEMIST_TESTS_OPS_HARNESS_H
#define DEMIST_TESTS_OPS_HARNESS_H

#include "device/impl.h"
#include "graph/op_def.h"

/* out[k] of outputs with accum hold what they are added to, others NaN; absent ones are NULL. Integer inputs
 * come as whole doubles. */
typedef void (*ops_reference)(const dm_opnode *n, const double *const *in, double *const *out);

typedef struct ops_case {
    const char *name;
    dm_opnode node;
    ops_reference reference;
    double tolerance; /* of the largest magnitude of each output; an implementation may state a larger one of its own */
    int32_t levels;                /* integer inputs lie in [0, levels) */
    double scale;                  /* of the inputs, about N(0, 1); 0 = 1 */
    const double *given[DM_MAX_IN]; /* an input's values, where they are not random */
    bool rounded; /* what is given is what bf16 has (ops_rounded), or may be rounded to the input's type where that is
                     16 bits wide */
} ops_case;

int ops_setup(void **state);       /* cmocka group fixtures: *state is the dm_device */
int ops_teardown(void **state);
/* f rounded to this type, nearest even. Inputs of nodes with a 16-bit type are all rounded to it, weights too. */
float ops_rounded(dm_dtype type, float f);
/* Fails the test where an implementation is wrong, naming it, the output and the element. */
void ops_check(dm_device *d, const ops_case *c);
dm_desc ops_desc(int32_t rank, const int64_t *dim);
#define OPS_DESC(...) \
    ops_desc((int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__})
#define OPS_NONE ((dm_desc){.rank = -1})
/* Only the smallest cases are wanted ($DEMIST_TEST_SMALL), for slow interpreters. */
bool ops_small(void);

#endif
