/* Keys of ops: what differs in anything that an implementation sees has another key. */
#include "graph/op_def.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static dm_opnode convolution(void)
{
    dm_opnode n = {.kind = DM_OP_CONV2D, .n_in = 3, .n_out = 1};

    n.in[0] = (dm_desc){DM_DT_F32, 4, {2, 8, 8, 3}};
    n.in[1] = (dm_desc){DM_DT_F32, 4, {5, 3, 3, 3}};
    n.in[2] = (dm_desc){.rank = -1};
    n.out[0] = (dm_desc){DM_DT_F32, 4, {2, 8, 8, 5}};
    n.a.conv = (dm_conv){3, 1, {1, 1}};
    return n;
}

static void op_key__text(void **state)
{
    const dm_opnode n = convolution();
    char text[512];
    const size_t length = dm_op_key(&n, text, sizeof text);

    (void)state;
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, "conv2d f32[2,8,8,3] f32[5,3,3,3] - > f32[2,8,8,5] k=3 stride=1 pad=1,1");
}

static void op_key__too_long(void **state)
{
    const dm_opnode n = convolution();
    char text[8];

    (void)state;
    assert_true(dm_op_key(&n, text, sizeof text) > 60);
    assert_string_equal(text, "conv2d ");
}

static void differ(const dm_opnode *a, const dm_opnode *b)
{
    char x[512], y[512];

    assert_true(dm_op_key(a, x, sizeof x) < sizeof x && dm_op_key(b, y, sizeof y) < sizeof y);
    assert_string_not_equal(x, y);
}

static void op_key__tells_apart(void **state)
{
    const dm_opnode a = convolution();
    dm_opnode b = a;

    (void)state;
    b.kind = DM_OP_CONV2D_DX;
    differ(&a, &b);
    b = a, b.full_precision = true;
    differ(&a, &b);
    b = a, b.accum = true;
    differ(&a, &b);
    b = a, b.in[0].dim[1] = 9;
    differ(&a, &b);
    b = a, b.in[2] = (dm_desc){DM_DT_F32, 1, {5}};
    differ(&a, &b);
    b = a, b.in[0].type = DM_DT_I32;
    differ(&a, &b);
    b = a, b.a.conv.pad[1] = 0;
    differ(&a, &b);
    b = a, b.a.conv.stride = 2;
    differ(&a, &b);
}

/* Every byte of the attributes that a kind uses matters: a changed one changes the key of each kind whose
 * implementations read it. */
static void op_key__every_attribute(void **state)
{
    static const struct { dm_op_kind kind; size_t bytes;
    } used[] = {
        {DM_OP_CONV2D, sizeof(dm_conv)},
        {DM_OP_CONV2D_DW, sizeof(dm_conv)},
        {DM_OP_MATMUL, sizeof(((dm_opnode *)0)->a.mm)},
        {DM_OP_REDUCE, sizeof(((dm_opnode *)0)->a.reduce)},
        {DM_OP_ADD, sizeof(dm_attr_bcast)},
        {DM_OP_SCALE, sizeof(((dm_opnode *)0)->a.scale)},
        {DM_OP_ATTENTION, sizeof(int64_t)},
        {DM_OP_CONCAT, sizeof(((dm_opnode *)0)->a.concat)},
        {DM_OP_SLICE, sizeof(((dm_opnode *)0)->a.slice)},
        {DM_OP_PERMUTE, 8 * sizeof(int32_t)},
        {DM_OP_UPSAMPLE, sizeof(int64_t)},
        {DM_OP_DISCRETIZED_NLL, sizeof(int32_t)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        dm_opnode a = convolution(), b;

        memset(&a.a, 0, sizeof a.a);
        a.kind = used[i].kind;
        for (size_t at = 0; at < used[i].bytes; at++) {
            b = a;
            if (used[i].kind == DM_OP_MATMUL && at >= 4 && at < 8) /* between four bools and the extents */
                continue;
            ((unsigned char *)&b.a)[at] = 1;
            differ(&a, &b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_key__text),
        cmocka_unit_test(op_key__too_long),
        cmocka_unit_test(op_key__tells_apart),
        cmocka_unit_test(op_key__every_attribute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
