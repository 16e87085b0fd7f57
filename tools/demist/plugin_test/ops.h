/* An op of a plugin by itself. */
#ifndef DEMIST_CLI_PLUGIN_TEST_OPS_H
#define DEMIST_CLI_PLUGIN_TEST_OPS_H

#include "graph/graph.h"
#include "plugin_test/plugin_test.h"

/* A value of it, row-major; host: its values, f32 or i32; NULL for an output. */
typedef struct plugin_test_array {
    dm_shape shape;
    bool integers, wants_gradient, used;  /* used: of an output; one that the network leaves alone gets no gradient */
    void *host;
} plugin_test_array;
typedef struct plugin_test_op {
    const dm_op *op;
    dm_instance *owner;
    dm_device *device;
    plugin_test_array in[DM_MAX_IN], out[DM_MAX_OUT];
} plugin_test_op;

/* Does it write all of its outputs and nothing else, and is its backward the gradient of its forward? */
void plugin_test_op_alone(plugin_test *t, const plugin_test_op *op);

#endif
