#!/usr/bin/env python3
"""Expected values for the noise process and the samplers: tests/parity/data/noise.json and steps.safetensors.

Tables come from NumPy in double precision by the papers' formulas, timesteps and single steps from diffusers' schedulers with
their arrays recomputed in double precision. Needs numpy, torch, diffusers, safetensors."""
import json
import os
import sys

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data")


def linear(T):
    return np.linspace(1e-4, 0.02, T)


def cosine(T):
    f = lambda t: np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.array([min(1 - f((i + 1) / T) / f(i / T), 0.999) for i in range(T)])


def scaled_linear(T):
    return np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, T) ** 2


def sigmoid_beta(T):
    return 1e-4 + (0.02 - 1e-4) / (1 + np.exp(-np.linspace(-6, 6, T)))


def sigmoid(T):
    s = 1 / (1 + np.exp(-(np.arange(T + 1) / T * 6 - 3)))
    a = (s[-1] - s) / (s[-1] - s[0])
    return np.minimum(1 - a[1:] / a[:-1], 0.999)


SCHEDULES = {f.__name__: f for f in (linear, cosine, scaled_linear, sigmoid_beta, sigmoid)}


def table(name, T):
    beta = SCHEDULES[name](T)
    ab = np.cumprod(1 - beta)
    before = np.concatenate([[1.0], ab[:-1]])
    at = sorted({0, 1, 2, T // 10, T // 2, T - 2, T - 1} & set(range(T)))
    pick = lambda v: [float(v[i]) for i in at]
    return {"schedule": name, "T": T, "at": at, "beta": pick(beta), "alpha_bar": pick(ab), "log_snr": pick(np.log(ab / (1 - ab))),
            "posterior_variance": pick(beta * (1 - before) / (1 - ab))}


def timesteps():
    rows = []
    for T, n in [(1000, 50), (1000, 1), (1000, 7), (1000, 1000), (100, 30), (10, 10), (10, 3), (999, 13), (4000, 250),
        (7, 6), (17, 10), (1000, 48), (1000, 96), (1000, 240)]:
        for spacing in ("leading", "trailing", "linspace"):
            for offset in (0, 1) if spacing == "leading" and T > n else (0,):
                s = DDIMScheduler(num_train_timesteps=T, timestep_spacing=spacing, steps_offset=offset)
                s.set_timesteps(n)
                rows.append({"T": T, "n": n, "spacing": spacing, "offset": offset, "timesteps": [int(t) for t in s.timesteps][:n]})  # arange can give one more, -1
    return [r for r in rows if len(r["timesteps"]) <= 60] + [{**r, "timesteps": r["timesteps"][:5], "head": True} for r in rows if len(r["timesteps"]) > 60]


def exact(s):
    """The scheduler's arrays in double precision."""
    T, c = s.config.num_train_timesteps, s.config.beta_schedule
    s.betas = torch.from_numpy(linear(T) if c == "linear" else cosine(T))
    s.alphas = 1 - s.betas
    s.alphas_cumprod = torch.cumprod(s.alphas, 0)
    s.one = torch.tensor(1.0, dtype=torch.float64)
    if hasattr(s, "final_alpha_cumprod"):
        s.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return s


def steps():
    rng = np.random.default_rng(5)
    shape = (2, 1, 3, 4)
    x, F, z = (torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).double() for _ in range(3))
    tensors, rows = {"x": x.float(), "F": F.float(), "z": z.float()[None]}, []
    scheduling_ddpm.randn_tensor = lambda *a, **k: z
    for schedule, beta in (("linear", "linear"), ("cosine", "squaredcos_cap_v2")):
        for predict, target in (("eps", "epsilon"), ("x0", "sample"), ("v", "v_prediction")):
            for clip in (True, False):
                for t, after in ((999, 979), (980, 960), (500, 480), (20, 0), (0, None)):
                    at = f"[{t}]" if after is None else f"[{t},{after}]"
                    n = 50 if after is not None else 1000
                    common = dict(num_train_timesteps=1000, beta_schedule=beta, prediction_type=target, clip_sample=clip)
                    cases = [(DDIMScheduler(**common, set_alpha_to_one=True), f"sampler.use=ddim sampler.eta={eta}", eta) for eta in (0.0, 0.5, 1.0)]
                    cases += [(DDPMScheduler(**common, variance_type=v), f"sampler.use=ddpm sampler.variance={v}", None) for v in ("fixed_small", "fixed_large")]
                    for s, sampler, eta in cases:
                        if eta is None:
                            s.set_timesteps(timesteps=[t] if after is None else [t, after])
                        else:
                            s.set_timesteps(n)
                        exact(s)
                        if eta is None:
                            y = s.step(F, t, x).prev_sample
                        else:
                            y = s.step(F, t, x, eta=eta, variance_noise=z if eta > 0 else None).prev_sample
                        if not torch.isfinite(y).all():
                            continue
                        name = f"y{len(rows)}"
                        tensors[name] = y.contiguous()
                        rows.append(f"{name} schedule.use={schedule} objective.predict={predict} sampler.clip={'auto' if clip else 'off'} "
                                    f"sampler.clip_eps=false sampler.at={at} {sampler}")
    save_file(tensors, os.path.join(OUT, "steps.safetensors"))
    return rows


os.makedirs(OUT, exist_ok=True)
tables = [table(s, T) for s in SCHEDULES for T in (1, 2, 10, 1000)]
with open(os.path.join(OUT, "noise.json"), "w") as f:
    json.dump({"tables": tables, "timesteps": timesteps()}, f)
with open(os.path.join(OUT, "steps.txt"), "w") as f:
    f.write("\n".join(steps()) + "\n")
print("torch", torch.__version__, "numpy", np.__version__, file=sys.stderr)
