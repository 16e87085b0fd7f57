/* Ops as plugins see them, through the graph on the device: values against a reference in double precision, gradients
 * of every input against that reference's finite differences. */
#ifndef DEMIST_TESTS_OPS_GRAPH_CASE_H
#define DEMIST_TESTS_OPS_GRAPH_CASE_H

#include "graph/graph.h"
#include "harness.h"

enum { GRAPH_INPUTS = 3 };

typedef struct graph_case graph_case;
struct graph_case {
    const char *name;
    dm_val (*build)(const dm_graph *g, const graph_case *c, const dm_val *x);
    /* y from the inputs, row-major as plugins see them; y_shape is known. */
    void (*reference)(const graph_case *c, const double *const *x, double *y);
    dm_shape x[GRAPH_INPUTS];      /* rank 0: that many inputs alone */
    dm_shape y;
    double lo, hi;                 /* of the inputs' values, uniform; both 0: -2 to 2 */
    int k[4];                      /* of the case itself */
    double tolerance;              /* of the largest value and of the largest gradient; 0: 5e-6 */
};

void graph_check(dm_device *d, const graph_case *c);

#endif
