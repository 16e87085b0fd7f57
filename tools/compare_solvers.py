"""Compares demist with diffusers' solvers: whole walks of a tiny random UNet2DModel from the same noise, the folder read
by demist, the scheduler of diffusers 0.42.1 as it is. The last x must be within 1e-3 of its range. Single steps are
compared in double precision by tests/parity/walks.c.

    DEMIST=build/demist python tools/compare_solvers.py [--device cpu] [--only NAME]
    python tools/compare_solvers.py --write     # tests/parity/data/diffusers/solvers.safetensors and solvers.json
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
from diffusers import UNet2DModel
from diffusers.schedulers import (scheduling_dpmsolver_multistep, scheduling_dpmsolver_singlestep, scheduling_edm_dpmsolver_multistep,
                                  scheduling_euler_ancestral_discrete, scheduling_sasolver)
from safetensors.torch import load_file, save_file

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/parity/data/diffusers")
MODEL = os.path.join(DATA, "plain")
SHAPE = (2, 1, 8, 8)
DPM, UNIPC, DEIS, PNDM = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler", "PNDMScheduler"
EULER, ANCESTRAL, HEUN, LMS = "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"
SINGLE, SDE = "DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler"
SA, EDM, EDMDPM, FLOW = "SASolverScheduler", "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"


def configs():
    """Class, config, steps."""
    for kind in (DPM, UNIPC, DEIS):
        for config in ({}, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
                       {"solver_order": 3, "prediction_type": "sample"}, {"thresholding": True, "sample_max_value": 1.5},
                       {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 500}):
            yield kind, config, 12
        yield kind, {"solver_order": 1}, 20
    for config in ({"algorithm_type": "sde-dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "solver_type": "heun"},
                   {"solver_type": "heun"}, {"final_sigmas_type": "sigma_min"}, {"euler_at_final": True}, {"lower_order_final": False},
                   {"use_karras_sigmas": True, "prediction_type": "sample"}, {"use_lu_lambdas": True, "prediction_type": "sample"},
                   {"use_exponential_sigmas": True, "prediction_type": "sample"}):
        yield DPM, config, 16
    for config in ({"solver_type": "bh2", "disable_corrector": [0, 2]}, {"final_sigmas_type": "sigma_min"}):
        yield UNIPC, config, 10
    for config in ({}, {"skip_prk_steps": True}, {"set_alpha_to_one": True, "steps_offset": 1}):
        yield PNDM, config, 20
    for kind in (EULER, ANCESTRAL, HEUN, LMS):
        for config in ({}, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing"}):
            yield kind, config, 20
        yield kind, {"prediction_type": "v_prediction"}, 28
    for kind in (EULER, HEUN, LMS):
        for name in ("karras", "exponential"):
            yield kind, {f"use_{name}_sigmas": True}, 16
    yield EULER, {"final_sigmas_type": "sigma_min"}, 28
    yield EULER, {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 40.0}, 16
    for config in ({}, {"sigma_schedule": "exponential"}, {"sigma_data": 0.7, "rho": 5.0, "sigma_max": 50.0}):
        yield EDM, config, 16
        yield EDMDPM, config, 16
    yield EDMDPM, {"algorithm_type": "sde-dpmsolver++"}, 16
    for shift in (1.0, 3.0):
        yield FLOW, {"shift": shift}, 16
    for config in ({"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
                   {"predictor_order": 3, "corrector_order": 4, "prediction_type": "sample"}, {"predictor_order": 1, "corrector_order": 1},
                   {"predictor_order": 3, "corrector_order": 3, "lower_order_final": False}, {"thresholding": True, "sample_max_value": 1.5},
                   {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 500}):
        yield SA, config, 12
    yield SA, {}, 20
    for config in ({}, {"solver_order": 1}, {"solver_order": 3}, {"solver_order": 3, "solver_type": "heun", "prediction_type": "sample"},
                   {"solver_type": "heun", "prediction_type": "v_prediction"}, {"final_sigmas_type": "sigma_min"},
                   {"final_sigmas_type": "sigma_min", "lower_order_final": True}, {"algorithm_type": "sde-dpmsolver++"},
                   {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "solver_type": "heun"}, {"thresholding": True, "sample_max_value": 1.5},
                   {"use_karras_sigmas": True, "prediction_type": "sample"}, {"use_exponential_sigmas": True, "prediction_type": "sample"},
                   {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 500}):
        yield SINGLE, config, 16
    yield SINGLE, {}, 13
    yield SINGLE, {"solver_order": 3, "lower_order_final": True}, 14
    for config in ({}, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
                   {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"beta_schedule": "scaled_linear", "noise_sampler_seed": 3}):
        yield SDE, config, 16


def start(kind, config, x):
    """x where the walk begins: of variance 1 unless the process lets it grow."""
    return x * getattr(diffusers, kind)(**config).init_noise_sigma if kind in (EDM, EDMDPM) else x


def told(s, kind, config, steps):
    """What the network is told. Of sigmas of their own diffusers' DPM-Solver++ tells whole timesteps that are not theirs;
    demist tells theirs, between the whole ones, by the angle atan(sigma / alpha)."""
    if kind in (DPM, SINGLE) and any(k.startswith("use_") for k in config):
        angles = np.arctan(np.sqrt(1 / s.alphas_cumprod.double().numpy() - 1))
        return [torch.tensor(np.interp(np.arctan(float(v)), angles, np.arange(len(angles)))) for v in s.sigmas[:-1]]
    return list(s.timesteps)


def brownian(used):
    """A step's noise is that of a Brownian motion in sigma / alpha: after its first half, this and that of the second."""
    kept = []

    def noise(sigma, sigma_next):
        if not kept:
            kept.append((sigma_next, next(used)))
            return kept[0][1]
        half, first = kept.pop()
        share = (sigma - half) / (sigma - sigma_next)
        return share.sqrt() * first + (1 - share).sqrt() * next(used)

    return noise


def walk(model, kind, config, steps, x, z):
    """The last x; z: the noise of the steps."""
    used = iter(z)
    for module in (scheduling_dpmsolver_multistep, scheduling_dpmsolver_singlestep, scheduling_edm_dpmsolver_multistep, scheduling_euler_ancestral_discrete):
        module.randn_tensor = lambda *a, **k: next(used)
    s = getattr(diffusers, kind)(**config)
    # drawn in steps that have none too
    scheduling_sasolver.randn_tensor = lambda *a, **k: next(used) if s.tau_func(s.timestep_list[-1]) else torch.zeros(SHAPE)
    s.set_timesteps(steps)
    if kind == SDE:
        s.noise_sampler = brownian(used)
    y = x * s.init_noise_sigma if hasattr(s, "init_noise_sigma") else x
    for t, say in zip(s.timesteps, told(s, kind, config, steps)):
        with torch.no_grad():
            y_in = s.scale_model_input(y, t) if hasattr(s, "scale_model_input") else y
            out = model(y_in, say).sample
        y = s.step(out, t, y).prev_sample
    return y


def save(folder, kind, config):
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        shutil.copy(os.path.join(MODEL, name), folder)
    getattr(diffusers, kind)(**config).save_pretrained(folder)


def run_demist(kind, config, steps, x, z, device):
    with tempfile.TemporaryDirectory() as d:
        save(d, kind, config)
        save_file({"x": start(kind, config, x), "z": z}, os.path.join(d, "noise.st"))
        p = subprocess.run([os.environ.get("DEMIST", "demist"), "sample", d, f"device={device}", f"sampler.steps={steps}", "--noise",
                            os.path.join(d, "noise.st"), "--tensors", os.path.join(d, "x.safetensors"), "-q"], capture_output=True, text=True)
        return load_file(os.path.join(d, "x.safetensors"))["x"] if p.returncode == 0 else p.stderr.strip()


def noise():
    torch.manual_seed(5)
    return torch.randn(SHAPE), torch.randn(40, *SHAPE)


def write(model):
    """What the test suite compares with: the configs as diffusers writes them, without what demist does not read."""
    x, z = noise()
    tensors, rows = {"x": x, "z": z}, []
    for kind, config, steps in configs():
        with tempfile.TemporaryDirectory() as d:
            save(d, kind, config)
            text = json.load(open(os.path.join(d, "scheduler_config.json")))
        tensors[f"y{len(rows)}"] = walk(model, kind, config, steps, x, z)
        rows.append({"steps": steps, "times": float(start(kind, config, torch.ones(1))), "config": {k: v for k, v in text.items() if k == "_class_name" or k in config}})
    save_file(tensors, os.path.join(DATA, "solvers.safetensors"))
    with open(os.path.join(DATA, "solvers.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def main():
    torch.set_num_threads(1)
    a = argparse.ArgumentParser()
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "auto"))
    a.add_argument("--only", default="")
    a.add_argument("--write", action="store_true")
    a = a.parse_args()
    model = UNet2DModel.from_pretrained(MODEL).eval()
    if a.write:
        write(model)
        return
    failed, n, worst, (x, z) = 0, 0, 0.0, noise()
    for kind, config, steps in configs():
        name = f"{kind} {config} {steps} steps"
        if a.only not in name:
            continue
        got = run_demist(kind, config, steps, x, z, a.device)
        n += 1
        if isinstance(got, str):
            failed += 1
            print(f"BAD  {name}: {got}", flush=True)
            continue
        want = walk(model, kind, config, steps, x, z)
        off = ((got - want).abs().max() / (want.max() - want.min())).item()
        worst = max(worst, off)
        failed += not off <= 1e-3
        print(f"{'ok  ' if off <= 1e-3 else 'BAD '} {off:.1e} of the range  {name}", flush=True)
    print(f"{n} configurations; at most {worst:.1e} of the range; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
