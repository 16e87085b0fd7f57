/* Kernels that nearly every run needs and that compile in no time, as one program: a driver takes longer to open a
 * program than to make such a kernel (PoCL 3.1 reads its own headers for each, 33 ms even where its cache has the
 * result). A kernel of one of these files is taken from here; no two of them may define the same name. */
#include "memory/fill.cl"
#include "shape/copy.cl"
#include "shape/permute.cl"
#include "shape/pixels.cl"
#include "eltwise/flat.cl"
#include "eltwise/rows.cl"
#include "eltwise/cast.cl"
#include "matmul/rows.cl"
#include "embed/embed.cl"
#include "random/random.cl"
#include "sampling/sampling.cl"
