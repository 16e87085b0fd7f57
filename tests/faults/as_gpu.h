/* Every OpenCL device says that it is another one, of a profile, so that all that such a device is given runs on a CPU
 * device. Compiled into a test: an NVIDIA GPU of compute capability 8.0, whose compiler takes inline PTX (what is built
 * then is the imitation). As a module for LD_PRELOAD before any program:
 *   AS_GPU=amd|intel|intel-hpc|mali|nvidia|small|least|one-lane
 *   AS_GPU_ALLOC=BYTES   the largest buffer, instead of the profile's
 *   AS_GPU_REFUSE=HOW:FILE[,HOW:FILE...]   what a driver may answer to kernels of FILE below kernels/, "*" = of all:
 *     build   they do not build                        group    a group of one alone
 *     local   they take more local memory than there is   launch   CL_OUT_OF_RESOURCES when they are launched
 *     crash   it aborts as it builds them */
#ifndef DEMIST_TESTS_AS_GPU_H
#define DEMIST_TESTS_AS_GPU_H

/* Of inline PTX; MISTAKES: it is taken, and one element is wrong in all that is read back. */
typedef enum as_gpu_compiler { AS_GPU_TAKES, AS_GPU_REFUSES, AS_GPU_MISTAKES } as_gpu_compiler;
extern as_gpu_compiler as_gpu_how;
extern int as_gpu_built;           /* programs with PTX that were to be built */

#endif
