"""Opens what `demist export --to diffusers` writes of a training run with diffusers, and compares: UNet2DModel or DiTTransformer2DModel.from_pretrained
with `demist predict` of the run (1e-4 of the largest output), and the pipeline's network and scheduler, walking from given
noise, with `demist sample` (1e-3 of the range). Then the schedulers of diffusers' solvers: read by demist and written again,
their configs are what they were (compare_solvers.py compares walks by them). Needs diffusers, numpy, torch and safetensors.

    DEMIST=build/demist python tools/compare_export.py [--device cpu] [--only NAME]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import compare_solvers
import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, DiTTransformer2DModel, UNet2DModel
from diffusers.schedulers import scheduling_ddpm
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

TRANSFORMER = "network={use: dit, width: 16, depth: 2, heads: 2, freq_shift: 1%s}"
NETWORK = "network={use: unet, channels: [8, 16], layers: 1, groups: 4, dropout: 0, attend: [0, 1]%s}"


def configs():
    """Name, the experiment's keys, whether the raw weights are exported. (compat: diffusers adds noise to the final image.)"""
    yield "DDIM, v", [NETWORK % "", "sampler={use: ddim, steps: 10, clip_eps: false}", "objective={use: simple, predict: v}"], False
    yield "DDPM, eps, raw weights", [NETWORK % "", "sampler={use: ddpm, steps: 10}", "objective={use: simple, predict: eps}"], True
    yield "residual blocks resize", [NETWORK % ", attend_up: [1, 0], down_resnet: [1, 0], up_resnet: [0, 1], scale_shift: true, head_dim: 4",
                                     "sampler={use: ddpm, steps: 10, variance: fixed_large, compat: diffusers}", "schedule={use: linear}"], False
    yield "learned variance, DDPM", [NETWORK % ", padding: 1", "sampler={use: ddpm, steps: 10, variance: learned, compat: diffusers}", "objective={use: hybrid, predict: eps}",
                                     "schedule={use: scaled_linear}"], False
    yield "learned time, mish", [NETWORK % ", time: learned, act: mish, mid_scale: 1.5", "sampler={use: ddim, steps: 10, clip: off}", "objective={use: simple, predict: x0}"], False
    yield "a schedule that diffusers does not have", [NETWORK % ", time_dim: 24", "schedule={use: sigmoid}", "sampler={use: ddim, steps: 10, clip_eps: false}"], False
    yield "transformer", [TRANSFORMER % "", "sampler={use: ddim, steps: 10, clip_eps: false}"], False
    yield "transformer, learned variance, patches of 4", [TRANSFORMER % ", patch: 4, qkv_bias: false, hidden_eps: 1.0e-3", "objective={use: hybrid, predict: eps}",
                                                          "sampler={use: ddpm, steps: 10, variance: learned, compat: diffusers}", "schedule={use: scaled_linear}"], True
    yield "transformer, embeddings of blocks", [TRANSFORMER % ", block_embed: true", "sampler={use: ddpm, steps: 10}"], False


def demist(*args):
    p = subprocess.run([os.environ.get("DEMIST", "demist"), *args, "-q"], capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(f"demist {' '.join(args)}: {p.stderr.strip()}")


def train(d, keys, device):
    np.save(f"{d}/x.npy", np.random.default_rng(1).integers(0, 256, (16, 3, 8, 8), np.uint8))
    with open(f"{d}/e.yaml", "w") as f:
        f.write(f"data: {{use: npy, file: {d}/x.npy}}\nschedule: {{use: cosine}}\n{NETWORK.replace('=', ': ', 1) % ''}\n"
                "objective: {use: simple, predict: v}\nsampler: {use: ddim}\ntrain: {steps: 20, batch: 8, lr: 1.0e-2, ema: [0.5]}\n")
    demist("train", f"{d}/e.yaml", f"output={d}/run", f"device={device}", *keys)


def load(d, keys):
    """The network as a function of x and t, and the scheduler."""
    ddim = "use: ddim" in " ".join(keys)
    if "use: dit" in keys[0]:
        net = DiTTransformer2DModel.from_pretrained(f"{d}/out", subfolder="transformer", low_cpu_mem_usage=False).eval()
        scheduler = (DDIMScheduler if ddim else DDPMScheduler).from_pretrained(f"{d}/out", subfolder="scheduler")
        return lambda x, t: net(x, t.expand(len(x)), class_labels=torch.zeros(len(x), dtype=torch.long)).sample, scheduler
    pipeline = (DDIMPipeline if ddim else DDPMPipeline).from_pretrained(f"{d}/out", low_cpu_mem_usage=False)
    net = UNet2DModel.from_pretrained(f"{d}/out", subfolder="unet", low_cpu_mem_usage=False).eval()
    return lambda x, t: net(x, t).sample, pipeline.scheduler


def predictions(d, keys, raw, device):
    net, _ = load(d, keys)
    x, t = torch.randn(4, 3, 8, 8), torch.tensor([1, 300, 700, 999])
    save_file({"x": x, "t": t}, f"{d}/in.st")
    demist("predict", f"{d}/run", f"device={device}", "--in", f"{d}/in.st", "--out", f"{d}/out.st", *raw)
    with torch.no_grad():
        want = net(x, t)
    return ((load_file(f"{d}/out.st")["out"] - want).abs().max() / want.abs().max()).item()


def walks(d, keys, raw, device):
    net, s = load(d, keys)
    s.set_timesteps(10)
    x, z = torch.randn(2, 3, 8, 8), torch.randn(10, 2, 3, 8, 8)
    save_file({"x": x, "z": z}, f"{d}/noise.st")
    demist("sample", f"{d}/run", f"device={device}", "--noise", f"{d}/noise.st", "--tensors", f"{d}/x.st", *raw)
    drawn = iter(z)
    given, scheduling_ddpm.randn_tensor = scheduling_ddpm.randn_tensor, lambda *a, **k: next(drawn)
    with torch.no_grad():
        for t in s.timesteps:
            x = s.step(net(x, t), t, x).prev_sample
    scheduling_ddpm.randn_tensor = given
    return ((load_file(f"{d}/x.st")["x"] - x).abs().max() / (x.max() - x.min())).item()


# What a config may say and demist does not keep: it means nothing to these schedulers, or to the way that demist's steps go.
FREE = {"_use_default_values", "_diffusers_version", "variance_type", "euler_at_final", "noise_sampler_seed"}


def solvers():
    """Whether each scheduler is written as it was read; the number of those that are not."""
    bad = 0
    for kind, config, _ in compare_solvers.configs():
        with tempfile.TemporaryDirectory() as d:
            os.mkdir(f"{d}/theirs")
            compare_solvers.save(f"{d}/theirs", kind, config)
            demist("export", f"{d}/theirs", "--to", "diffusers", f"{d}/out")
            given, written = dict(getattr(diffusers, kind)(**config).config), json.load(open(f"{d}/out/scheduler/scheduler_config.json"))
            # On whole timesteps Euler's steps are DDIM's, which has a pipeline.
            whole = kind in (compare_solvers.EULER, compare_solvers.ANCESTRAL) and config.get("timestep_spacing", "linspace") != "linspace"
            want = diffusers.DDIMScheduler if whole else getattr(diffusers, kind)
            assert written.pop("_class_name") == want.__name__, (kind, config)
            got = dict(want.from_pretrained(f"{d}/out", subfolder="scheduler").config)
        unknown = written.keys() - want().config.keys()
        differ = {k: (given[k], got.get(k)) for k in given.keys() & want().config.keys() - FREE if given[k] != got.get(k)}
        bad += bool(differ or unknown)
        print(f"{'BAD ' if differ or unknown else 'ok  '} {kind} {config} {differ or ''} {unknown or ''}", flush=True)
    return bad


def main():
    torch.set_num_threads(1)  # such small networks are only slowed by more
    a = argparse.ArgumentParser()
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "auto"))
    a.add_argument("--only", default="")
    a = a.parse_args()
    failed, n, worst = 0, 0, [0.0, 0.0]
    logging.disable_progress_bar()
    for name, keys, raw in configs():
        if a.only not in name:
            continue
        torch.manual_seed(n)
        raw = ["--raw"] if raw else []
        with tempfile.TemporaryDirectory() as d:
            train(d, keys, a.device)
            demist("export", f"{d}/run", "--to", "diffusers", *raw, f"{d}/out")
            got = predictions(d, keys, raw, a.device), walks(d, keys, raw, a.device)
        ok = got[0] <= 1e-4 and got[1] <= 1e-3
        failed += not ok
        n += 1
        worst = [max(p, q) for p, q in zip(worst, got)]
        print(f"{'ok  ' if ok else 'BAD '} {got[0]:.2e}, run {got[1]:.2e}  {name}", flush=True)
    print(f"{n} configurations, largest difference {worst[0]:.1e} of the largest output, {worst[1]:.1e} of the range of a run; {failed} failed")
    if not a.only:
        failed += solvers()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
