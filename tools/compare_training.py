"""Compares `demist train` from a UNet2DModel's weights with PyTorch: the first step's gradients, the losses of ten
AdamW steps with clipping, weight decay, warm-up of the averages, and the weights and averages after them.

PyTorch trains the same UNet2DModel in fp32 on the same data in the same order, with demist's random numbers: Philox
counters made here with NumPy, as docs/design.md has them. Batches are made of several micro-batches, of which the last
is smaller; epochs end inside them. Every step's gradient is clipped. Limits: losses and norms 1e-4 of themselves, all
ten; gradients 1e-4 of each tensor's largest, or 1e-6 of the network's where that is more, as some have none but
rounding noise, which AdamW scales up; weights and averages, of tensors with more gradient than that, 2e-3 of the way
that the tensor went, in the norm of the whole tensor (PyTorch's own in fp32 is up to 5e-4 from double precision: --double
shows it). At a learning rate of 2e-3 the wide network magnifies rounding: PyTorch's own losses in fp32 and in double
precision are 3e-3 apart after ten steps; so it has 2e-4.

    DEMIST=build/demist python tools/compare_training.py [--device cpu] [--only NAME] [--double]
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from compare_diffusers import A, AU, D, R, RU, U, make
from safetensors.torch import load_file

SEED, STEPS, BATCH, COUNT, T = 11, 10, 8, 20, 1000
PURPOSE_SHUFFLE, PURPOSE_TIME, PURPOSE_NOISE = 2, 4, 5
OPTIMIZER = dict(lr=2e-3, beta1=0.9, beta2=0.99, weight_decay=0.1)
RATES = 0.5, 0.999
BASE = dict(sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
            down_block_types=(D, A), up_block_types=(AU, U))


def configs():
    """Name, what differs from BASE, schedule, what is predicted, more keys of train."""
    cifar = dict(layers_per_block=2, sample_size=32, down_block_types=(D, A, D, D), up_block_types=(U, U, AU, U),
                 attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6)
    yield "ddpm-cifar10-32, narrow", dict(cifar, block_out_channels=(16, 32, 32, 32)), "linear", "eps", {}
    yield "up to 128 channels", dict(block_out_channels=(64, 128), norm_num_groups=32), "linear", "eps", dict(lr=2e-4)
    yield "three levels, attention everywhere", dict(block_out_channels=(16, 32, 48), down_block_types=(A, A, A),
                                                     up_block_types=(AU, AU, AU)), \
        "cosine", "v", dict(warmup=4, decay="cosine")
    yield "ADM-like, 10 classes", dict(in_channels=1, out_channels=1, block_out_channels=(16, 32, 48),
                                       num_class_embeds=10, down_block_types=(R, A, A), up_block_types=(AU, AU, RU),
                                       downsample_type="resnet", upsample_type="resnet",
                                       resnet_time_scale_shift="scale_shift"), \
        "cosine", "eps", {}
    yield "24 x 16, five channels, x0", dict(sample_size=(24, 16), in_channels=5, out_channels=5, act_fn="mish"), \
        "scaled_linear", "x0", {}
    yield "fourier, gelu, an output without use", dict(time_embedding_type="fourier", act_fn="gelu", out_channels=4), \
        "linear", "eps", dict(clip=1e-3)
    yield "learned time, classes as time", dict(in_channels=1, out_channels=1, time_embedding_type="learned",
                                                num_train_timesteps=T, class_embed_type="timestep",
                                                mid_block_scale_factor=2 ** 0.5), "linear", "eps", {}


# ---- demist's random numbers ------------------------------------------------------------------

def philox(key, c0, c1, c2, c3):
    """Philox 4x32-10 of arrays of counters."""
    c = np.broadcast_arrays(*(np.asarray(v, np.uint64) for v in (c0, c1, c2, c3)))
    k0, k1, low, high = key & 0xFFFFFFFF, key >> 32, np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> high) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> high) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def uniform(x):
    return ((x >> np.uint64(9)).astype(np.float64) + 0.5) / 2 ** 23


def normals(purpose, step, index, shape):
    """Gaussians of one example, in C,H,W order."""
    n = math.prod(shape)
    u = [uniform(x) for x in philox(SEED, purpose << 24, step, np.arange((n + 3) // 4), index)]
    out = []
    for a, b in ((u[0], u[1]), (u[2], u[3])):
        r = np.sqrt(-2 * np.log(a))
        out += [r * np.cos(2 * np.pi * b), r * np.sin(2 * np.pi * b)]
    return np.stack(out, 1).reshape(-1)[:n].reshape(shape)


def place(position):
    """Which example comes at a place in the order of all epochs: a Feistel network, walked until within the count."""
    epoch, x, half = position // COUNT, position % COUNT, 1
    while COUNT > 1 << 2 * half:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = x >> half, x & mask
        for r in range(8):
            f = int(philox(SEED, PURPOSE_SHUFFLE << 24 | r, epoch & 0xFFFFFFFF, epoch >> 32, right)[0])
            left, right = right, left ^ (f & mask)
        x = left << half | right
        if x < COUNT:
            return x


def timesteps(step):
    u = uniform(philox(SEED, PURPOSE_TIME << 24, step, 0, np.arange(BATCH))[0])
    return np.minimum((u * T).astype(np.int64), T - 1)


# ---- PyTorch ----------------------------------------------------------------------------------

def alpha_bar(schedule):
    if schedule == "cosine":
        f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))
    linear = schedule == "linear"
    return np.cumprod(1 - (np.linspace(1e-4, 0.02, T) if linear else np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, T) ** 2))


def batch_of(step, images, labels, schedule, predict):
    """What the network is given in this step, and its target, in double precision."""
    chosen = [place(step * BATCH + i) for i in range(BATCH)]
    x0 = images[chosen] / 127.5 - 1
    noise = np.stack([normals(PURPOSE_NOISE, step, i, x0.shape[1:]) for i in range(BATCH)])
    t = timesteps(step)
    ab = alpha_bar(schedule)[t][:, None, None, None]
    target = {"eps": noise, "x0": x0, "v": ab ** 0.5 * noise - (1 - ab) ** 0.5 * x0}[predict]
    y = torch.from_numpy(labels[chosen].astype(np.int64)) if labels is not None else None
    return ab ** 0.5 * x0 + (1 - ab) ** 0.5 * noise, t, y, target


def rate_of(step, more):
    """The learning rate, as torch.optim.lr_scheduler would be told it."""
    lr, warm = more.get("lr", OPTIMIZER["lr"]), more.get("warmup", 0)
    if step < warm:
        return lr * (step + 1) / warm
    way = (step - warm) / (STEPS - warm - 1)
    return lr * 0.5 * (1 + math.cos(math.pi * way)) if more.get("decay") == "cosine" else lr


def train(model, images, labels, schedule, predict, clip, more, dtype):
    """Losses, norms, the first gradients, weights and averages after STEPS steps."""
    model = torch.nn.Module.to(model, dtype).train()
    named = [(k, p) for k, p in model.named_parameters() if p.requires_grad]
    o = torch.optim.AdamW([p for _, p in named], OPTIMIZER["lr"], (OPTIMIZER["beta1"], OPTIMIZER["beta2"]),
                          eps=1e-8, weight_decay=OPTIMIZER["weight_decay"])
    averages = [{k: v.clone() for k, v in model.state_dict().items()} for _ in RATES]
    losses, norms, first = [], [], None
    for step in range(STEPS):
        x, t, y, target = batch_of(step, images, labels, schedule, predict)
        out = model(torch.from_numpy(x).to(dtype), torch.from_numpy(t), class_labels=y).sample[:, :x.shape[1]]
        loss = ((out - torch.from_numpy(target).to(dtype)) ** 2).mean()
        o.zero_grad()
        loss.backward()
        if first is None:
            first = {k: p.grad.clone() for k, p in named}
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in named], clip).item())
        o.param_groups[0]["lr"] = rate_of(step, more)
        o.step()
        for rate, average in zip(RATES, averages):
            rate = min(rate, (1 + step) / (10 + step))
            for k, v in model.state_dict().items():
                average[k].lerp_(v, 1 - rate)
        losses.append(loss.item())
    return losses, norms, first, [{k: v.clone() for k, v in model.state_dict().items()}, *averages]


# ---- demist -----------------------------------------------------------------------------------

def network(c):
    """UNet2DModel's config as keys of the plugin unet."""
    down, up = c.down_block_types, c.up_block_types[::-1]
    resnet = [[int(b in (R, RU) or (b in (A, AU) and kind == "resnet")) for b in blocks]
              for blocks, kind in ((down, c.downsample_type), (up, c.upsample_type))]
    return dict(use="unet", channels=list(c.block_out_channels), attend=[int(b == A) for b in down],
                attend_up=[int(b == AU) for b in up], down_resnet=resnet[0], up_resnet=resnet[1],
                layers=c.layers_per_block, groups=c.norm_num_groups, eps=c.norm_eps, dropout=0,
                head_dim=c.attention_head_dim or 0, padding=c.downsample_padding, act=c.act_fn,
                scale_shift=c.resnet_time_scale_shift == "scale_shift",
                mid_attention=c.add_attention, mid_scale=c.mid_block_scale_factor, time=c.time_embedding_type,
                flip_sin_to_cos=c.flip_sin_to_cos, freq_shift=c.freq_shift, time_rows=c.num_train_timesteps or T,
                class_embed="timestep" if c.class_embed_type else "table" if c.num_class_embeds else "none",
                class_rows=c.num_class_embeds or 0)


def write_data(d, images, labels):
    if labels is None:
        np.save(f"{d}/x.npy", images)
        return dict(use="npy", file=f"{d}/x.npy")
    for name, a in ("x", images[:, 0]), ("y", labels):
        with open(f"{d}/{name}.idx", "wb") as f:
            f.write(bytes([0, 0, 8, a.ndim]) + np.array(a.shape, ">u4").tobytes() + a.astype(np.uint8).tobytes())
    return dict(use="idx", train_images=f"{d}/x.idx", train_labels=f"{d}/y.idx", classes=10)


def demist(d, out, experiment, device, *keys):
    with open(f"{d}/e.yaml", "w") as f:
        json.dump(experiment, f)
    p = subprocess.run([os.environ.get("DEMIST", "demist"), "train", f"{d}/e.yaml", f"device={device}",
                        f"output={d}/{out}", *keys, "-q"], capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(f"demist train: {p.stderr.strip()}")
    lines = [json.loads(line) for line in open(f"{d}/{out}/log.jsonl")]
    state = load_file(f"{d}/{out}/checkpoints/step-{len(lines):08}.safetensors")
    return lines, lambda prefix: {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}


def experiment_of(c, data, schedule, predict, clip, more, start):
    objective = dict(use="simple", predict=predict)
    if c.out_channels > c.in_channels:
        objective["outputs"] = c.out_channels
    own = dict(steps=STEPS, batch=BATCH, micro_batch=3, clip=clip, ema=list(RATES), log_every=1, save_every=0)
    return dict(name="parity", seed=SEED, data=data, schedule=dict(use=schedule), network=network(c),
                objective=objective, sampler=dict(use="ddim"), train={**OPTIMIZER, **more, **own, "from": start})


def run_demist(folder, model, images, labels, schedule, predict, clip, more, device):
    """As train gives it."""
    data = write_data(folder, images, labels)
    experiment = experiment_of(model.config, data, schedule, predict, clip, more, f"{folder}/model")
    _, state = demist(folder, "one", experiment, device, "train.steps=1", "train.clip=0", "train.warmup=0",
                      "train.decay=constant")
    first = {k: v / (1 - OPTIMIZER["beta1"]) for k, v in state("adam.m.").items()}
    lines, state = demist(folder, "ten", experiment, device)
    ends = [state(p) for p in ("model.", "ema.0.", "ema.1.")]
    return [line["loss"] for line in lines], [line["grad_norm"] for line in lines], first, ends


# ---- the comparison ---------------------------------------------------------------------------

def compare(got, want, start):
    """Largest differences of losses, norms, gradients, and of weights and averages."""
    losses, norms = (max(abs(a - b) / b for a, b in zip(got[i], want[i])) for i in (0, 1))
    largest = {k: g.abs().max().item() for k, g in want[2].items()}
    floor = 1e-6 * max(largest.values())
    grads = max((got[2][k] - g).abs().max().item() / max(largest[k], floor / 1e-4) for k, g in want[2].items())
    ends = 0.0
    for ours, theirs in zip(got[3], want[3]):
        for k, v in theirs.items():
            difference = (ours[k].reshape(v.shape) - v).norm().item()
            if k not in largest:  # frequencies that are not trained
                ends = max(ends, math.inf if difference else 0.0)
            elif largest[k] > floor:
                ends = max(ends, difference / (v - start[k]).norm().item())
    return losses, norms, grads, ends


def run_one(seed, config, device, double):
    change, schedule, predict, more = config
    model = make({**BASE, **change}, seed)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    rng = np.random.default_rng(seed)
    c = model.config
    size = (c.sample_size, c.sample_size) if isinstance(c.sample_size, int) else c.sample_size
    images = rng.integers(0, 256, (COUNT, c.in_channels, *size), np.uint8)
    labels = rng.integers(0, 10, COUNT) if c.num_class_embeds or c.class_embed_type else None
    more = {**more}
    clip = more.pop("clip", 0.02)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(f"{folder}/model")
        got = run_demist(folder, model, images, labels, schedule, predict, clip, more, device)
    want = train(model, images, labels, schedule, predict, clip, more, torch.float32)
    assert min(want[1]) > clip, f"not every gradient is clipped: {min(want[1])}"
    result = compare(got, want, start)
    if double:
        model.load_state_dict(start)
        exact = train(model, images, labels, schedule, predict, clip, more, torch.float64)
        start = {k: v.double() for k, v in start.items()}
        result += compare(got, exact, start), compare(want, exact, start)
    return result


LIMITS = 1e-4, 1e-4, 1e-4, 2e-3


def words(r):
    return f"losses {r[0]:.1e}, norms {r[1]:.1e}, gradients {r[2]:.1e}, weights {r[3]:.1e}"


def main():
    torch.set_num_threads(1)  # such small networks are only slowed by more
    a = argparse.ArgumentParser()
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "auto"))
    a.add_argument("--only", default="")
    a.add_argument("--double", action="store_true", help="also PyTorch in double precision, against both")
    a = a.parse_args()
    failed, n, worst = 0, 0, [0.0] * 4
    for seed, (name, *config) in enumerate(configs()):
        if a.only not in name:
            continue
        got = run_one(seed, config, a.device, a.double)
        ok = all(g <= limit for g, limit in zip(got, LIMITS))
        failed += not ok
        n += 1
        worst = [max(p, q) for p, q in zip(worst, got)]
        print(f"{'ok  ' if ok else 'BAD '} {words(got)}  {name}", flush=True)
        for who, r in zip(("demist", "PyTorch in fp32"), got[4:]):
            print(f"     {who} against double precision: {words(r)}", flush=True)
    print(f"{n} configurations, largest difference of {words(worst)}; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
