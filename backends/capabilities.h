/* What a device can beyond OpenCL, as words in dm_device_info.capabilities: found and tried by backends/opencl, read by
 * implementations. */
#ifndef DEMIST_CAPABILITIES_H
#define DEMIST_CAPABILITIES_H

enum {
    /* A CPU device that is this machine's own processor, whose instructions inline assembly may use: tile registers
     * (AMX) that the system lets this process have, and dot products of bf16 pairs (AVX-512-BF16). */
    DM_CAP_AMX_BF16 = 1,
    DM_CAP_AVX512_BF16 = 2,
    DM_CAP_MMA_BF16 = 4,           /* an NVIDIA GPU whose tensor cores multiply bf16, by inline PTX */
    DM_CAP_X86 = 8,                /* this machine's own processor, an x86 one, by a compiler that takes its assembly */
    DM_CAP_PACKED_FMA = 16,        /* an AMD GPU with two f32 FMAs in one instruction (CDNA 2 and later) */
    /* An Intel GPU whose kernels may say how many lanes they want; one of the two: the fewer, which leave more
     * registers to each. */
    DM_CAP_LANES_8 = 32,
    DM_CAP_LANES_16 = 64,
    /* Dot products of bf16 pairs take no longer than multiply-adds of f32, so that they do twice as much. */
    DM_CAP_FAST_PAIRS = 128,
};

#endif
