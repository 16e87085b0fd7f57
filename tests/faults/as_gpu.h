/* Compiled into a test, this has every OpenCL device say that it is an NVIDIA GPU of compute capability 8.0, whose
 * compiler takes inline PTX: what is built then is the imitation. So all that GPUs choose runs on a CPU device. */
#ifndef DEMIST_TESTS_AS_GPU_H
#define DEMIST_TESTS_AS_GPU_H

/* Of inline PTX; MISTAKES: it is taken, and one element is wrong in all that is read back. */
typedef enum as_gpu_compiler { AS_GPU_TAKES, AS_GPU_REFUSES, AS_GPU_MISTAKES } as_gpu_compiler;
extern as_gpu_compiler as_gpu_how;
extern int as_gpu_built;           /* programs with PTX that were to be built */

#endif
