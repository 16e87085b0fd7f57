/* Of the kernels that demist builds as one program, the one that the sweep over failing calls uses: it builds it each
 * time. */
#include "memory/fill.cl"
