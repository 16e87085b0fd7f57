"""The networks and inputs of the bench, in diffusers' layout, so that demist and its peers read the same files."""
import os

import numpy as np

D, A, U, AU = "DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"
COMMON = dict(sample_size=32, attention_head_dim=None)
CONFIGS = {
    "ddpm-cifar10": dict(COMMON, in_channels=3, out_channels=3, block_out_channels=(128, 256, 256, 256), layers_per_block=2,
                         down_block_types=(D, A, D, D), up_block_types=(U, U, AU, U), downsample_padding=0, flip_sin_to_cos=False,
                         freq_shift=1, norm_eps=1e-6),
    "fashion": dict(COMMON, in_channels=1, out_channels=1, block_out_channels=(32, 64, 64), layers_per_block=1,
                    down_block_types=(D, A, D), up_block_types=(U, AU, U)),
}


def make(folder, config):
    """Saves a network with random weights and its scheduler, unless they are there."""
    if os.path.exists(os.path.join(folder, "scheduler", "scheduler_config.json")):
        return folder
    import torch
    from diffusers import DDIMScheduler, UNet2DModel
    torch.manual_seed(1)
    UNet2DModel(**config).save_pretrained(os.path.join(folder, "unet"))
    DDIMScheduler().save_pretrained(os.path.join(folder, "scheduler"))
    return folder


def inputs(folder, config, batch):
    """Files with x f32[batch,C,H,W] and t f64[batch]."""
    size = config["sample_size"]
    rng = np.random.default_rng(batch)
    x, t = (os.path.join(folder, f"{name}-{batch}") for name in ("x", "t"))
    rng.standard_normal((batch, config["in_channels"], size, size), np.float32).tofile(x)
    rng.integers(0, 1000, batch).astype(np.float64).tofile(t)
    return x, t


def philox(key, c):
    """Philox 4x32-10 of the counters c u64[4,...]."""
    mask, k = np.uint64(0xFFFFFFFF), list(key)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), q & mask, (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c)


def drawn(batch, count, seed=0, step=0, T=1000):
    """Times i64[batch] and noise f64[batch,count] that demist draws for a training step (docs/design.md, Philox counter)."""
    def counters(purpose, blocks):
        index, block = np.meshgrid(np.arange(batch, dtype=np.uint64), np.arange(blocks, dtype=np.uint64), indexing="ij")
        return [np.full_like(block, purpose << 24), np.full_like(block, step), block, index]

    def uniforms(purpose, blocks):
        return ((philox((seed, 0), counters(purpose, blocks)) >> np.uint64(9)).astype(np.float64) + 0.5) / 8388608

    t = np.minimum((uniforms(4, 1)[0, :, 0] * T).astype(np.int64), T - 1)
    u = uniforms(5, (count + 3) // 4)
    r0, r1, a0, a1 = np.sqrt(-2 * np.log(u[0])), np.sqrt(-2 * np.log(u[2])), 2 * np.pi * u[1], 2 * np.pi * u[3]
    z = np.stack([r0 * np.cos(a0), r0 * np.sin(a0), r1 * np.cos(a1), r1 * np.sin(a1)], -1)
    return t, z.reshape(batch, -1)[:, :count]
