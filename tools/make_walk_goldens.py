#!/usr/bin/env python3
"""Expected values for whole walks of the multistep samplers: tests/parity/data/walks.txt and walks.safetensors.

diffusers' schedulers in double precision, their noise levels set to those of the timesteps of a walk, are given the same
x, network outputs and noise as demist; x after each step is kept. Needs numpy, torch, diffusers, safetensors."""
import os
import sys

import numpy as np
import torch
from diffusers import (DEISMultistepScheduler, DPMSolverMultistepScheduler, DPMSolverSDEScheduler,
                       DPMSolverSinglestepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
                       HeunDiscreteScheduler, IPNDMScheduler, LMSDiscreteScheduler, PNDMScheduler, SASolverScheduler,
                       UniPCMultistepScheduler)
from diffusers.schedulers import (scheduling_dpmsolver_multistep, scheduling_dpmsolver_singlestep, scheduling_euler_ancestral_discrete,
                                  scheduling_euler_discrete, scheduling_sasolver)
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data")
BETA = np.linspace(1e-4, 0.02, 1000)
ALPHA = np.sqrt(np.cumprod(1 - BETA))
SIGMA = np.sqrt(1 - ALPHA ** 2)
rng = np.random.default_rng(11)
x, F, Z = (torch.from_numpy(rng.standard_normal(s).astype(np.float32)).double() for s in ((2, 1, 3, 4), (32, 2, 1, 3, 4), (16, 2, 1, 3, 4)))
drawn = 0


def draw(*a, **k):
    global drawn
    drawn += 1
    return Z[drawn - 1]


for module in (scheduling_dpmsolver_multistep, scheduling_dpmsolver_singlestep, scheduling_euler_ancestral_discrete, scheduling_euler_discrete):
    module.randn_tensor = draw


def levels(at, last=0.0):
    """sigma / alpha at these timesteps, then the last."""
    return torch.tensor([SIGMA[t] / ALPHA[t] for t in at] + [last], dtype=torch.float64)


def prepare(s, at, last=0.0):
    """Sets the scheduler to walk these timesteps, in double precision."""
    s.set_timesteps(len(at))
    s.timesteps = torch.tensor(at)
    s.sigmas = levels(at, last)
    s.num_inference_steps = len(at)
    if hasattr(s, "lower_order_nums"):
        s.lower_order_nums = 0
    s._step_index, s._begin_index = None, 0
    return s


def walk(s, at, scaled=False, calls=lambda i: 1, **step):
    """x after each step; scaled: the scheduler's x is x / alpha."""
    global drawn
    drawn, k, after = 0, 0, []
    y = x / ALPHA[at[0]] if scaled else x
    for i in range(len(at)):
        for _ in range(calls(i)):
            t = s.timesteps[k]
            y = s.step(F[k], t, y, **step).prev_sample
            k += 1
        a = ALPHA[at[i + 1]] if i + 1 < len(at) else 1
        after.append(y * a if scaled else y)
    return torch.stack(after), drawn


COMMON = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
PREDICT = (("eps", "epsilon"), ("x0", "sample"), ("v", "v_prediction"))
UNEVEN = [999, 800, 640, 420, 200, 90, 11]
EVEN = [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
LONG = list(range(990, -1, -62))
tensors, rows = {}, []


def add(result, sampler, predict, at, last_only=False, last="data"):
    after, _ = result
    name = f"y{len(rows)}"
    if not torch.isfinite(after[-1]).all():  # bh1 has no step to the data
        name, after = f"p{len(rows)}", after[:-1]
        if last_only:
            return
    tensors[name] = (after[-1:] if last_only else after).contiguous()
    use = sampler.split()[0].removeprefix("sampler.use=")
    limit = {"heun": " sampler.max_drop=0", "dpmpp": " sampler.max_growth=0", "unipc": " sampler.max_growth=0",
             "deis": " sampler.max_growth=0", "sa": " sampler.max_growth=0"}.get(use, "")  # diffusers knows none
    rows.append(f"{name} objective.predict={predict} sampler.clip=off sampler.at=[{','.join(map(str, at))}] "
                f"sampler.last={last} {sampler}{limit}")


for predict, target in PREDICT:
    for at in (UNEVEN, LONG):
        for order in (1, 2, 3):
            for eta, kind in ((0, "dpmsolver++"), (1, "sde-dpmsolver++")):
                for solver in ("midpoint", "heun") if order == 2 else ("midpoint",):
                    s = DPMSolverMultistepScheduler(**COMMON, prediction_type=target, solver_order=order, algorithm_type=kind,
                                                    solver_type=solver)
                    add(walk(prepare(s, at), at), f"sampler.use=dpmpp sampler.order={order} sampler.eta={eta} sampler.solver={solver} "
                        "sampler.compat=diffusers", predict, at)
            for solver in ("bh1", "bh2"):
                for off in ([], list(range(32))):
                    s = UniPCMultistepScheduler(**COMMON, prediction_type=target, solver_order=order, solver_type=solver,
                                                disable_corrector=off)
                    add(walk(prepare(s, at), at), f"sampler.use=unipc sampler.order={order} sampler.solver={solver} "
                        f"sampler.corrector={'false' if off else 'true'}", predict, at, last_only=not off)
            s = DEISMultistepScheduler(**COMMON, prediction_type=target, solver_order=order)
            add(walk(prepare(s, at), at), f"sampler.use=deis sampler.order={order}", predict, at)
        if predict == "x0":
            continue
        # These have x / alpha for x.
        for cls, sampler, step in ((EulerDiscreteScheduler, "ddim", {}), (EulerAncestralDiscreteScheduler, "ddim sampler.eta=1", {}),
                                   *((LMSDiscreteScheduler, f"lms sampler.order={n}", {"order": n}) for n in (1, 2, 4)),
                                   (HeunDiscreteScheduler, "heun", {})):
            s = prepare(cls(**COMMON, prediction_type=target), at)
            s.timesteps = s.timesteps.float()
            s.is_scale_input_called = True
            heun = cls is HeunDiscreteScheduler
            if heun:
                s.sigmas = torch.cat([s.sigmas[:1], s.sigmas[1:-1].repeat_interleave(2), s.sigmas[-1:]])
                s.timesteps = torch.cat([s.timesteps[:1], s.timesteps[1:].repeat_interleave(2)])
                s.prev_derivative = s.dt = None
            add(walk(s, at, scaled=True, calls=lambda i: 2 if heun and i < len(at) - 1 else 1, **step), f"sampler.use={sampler}", predict, at)
    if predict == "eps":  # of v diffusers mixes the outputs themselves, at another x each
        for last, one in (("data", True), ("first", False)):
            for start in ("repeat", "runge_kutta"):
                s = PNDMScheduler(**COMMON, prediction_type=target, skip_prk_steps=start == "repeat", set_alpha_to_one=one)
                s.set_timesteps(len(EVEN))
                s.alphas_cumprod = torch.from_numpy(ALPHA ** 2)
                s.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64) if one else s.alphas_cumprod[0]
                calls = (lambda i: 2 if i == 0 else 1) if start == "repeat" else (lambda i: 4 if i < 3 else 1)
                add(walk(s, EVEN, calls=calls), f"sampler.use=pndm sampler.start={start}", predict, EVEN, last=last)
    if predict == "v":
        s = IPNDMScheduler(1000)
        s.set_timesteps(len(UNEVEN))
        s.timesteps = torch.tensor(UNEVEN)
        s.alphas = torch.tensor([ALPHA[t] for t in UNEVEN] + [1.0], dtype=torch.float64)
        s.betas = torch.tensor([SIGMA[t] for t in UNEVEN] + [0.0], dtype=torch.float64)
        s._step_index, s._begin_index = None, 0
        add(walk(s, UNEVEN), "sampler.use=pndm sampler.start=lower_order", predict, UNEVEN)

# SASolverScheduler, which goes to the first level, draws noise in steps that use none too.
for predict, target in PREDICT:
    for at in (UNEVEN, LONG):
        for predictor, corrector in ((1, 1), (2, 2), (3, 3), (1, 3), (4, 4)):
            for tau in (0, 0.7, 1):
                def tau_of(t, tau=tau):
                    return tau if tau < 1 or 200 <= t <= 800 else 0

                s = SASolverScheduler(**COMMON, prediction_type=target, predictor_order=predictor, corrector_order=corrector, tau_func=tau_of)
                scheduling_sasolver.randn_tensor = lambda *a, **k: draw() if tau_of(s.timestep_list[-1]) else torch.zeros_like(x)
                prepare(s, at, SIGMA[0] / ALPHA[0])
                s.tau_func = lambda t: torch.tensor(float(tau_of(t)), dtype=torch.float64)
                where = " sampler.t_min=200 sampler.t_max=800" if tau == 1 else ""
                add(walk(s, at), f"sampler.use=sa sampler.predictor_order={predictor} sampler.corrector_order={corrector} "
                    f"sampler.tau={tau}{where} sampler.compat=diffusers", predict, at, last_only=True, last="first")

# Singlestep solvers whose evaluations lie on the walk, the last step to the data or not.
for predict, target in PREDICT:
    for at in (UNEVEN, UNEVEN[:-1], LONG):
        for order in (1, 2, 3):
            for eta, kind in ((0, "dpmsolver++"), (1, "sde-dpmsolver++")):
                for solver in ("midpoint", "heun") if order > 1 else ("midpoint",):
                    for final in (True, False):
                        if order == 1 and final or not final and len(at) % order:
                            continue  # the same as the other
                        s = DPMSolverSinglestepScheduler(**COMMON, prediction_type=target, solver_order=order, algorithm_type=kind, solver_type=solver,
                                                         lower_order_final=final, final_sigmas_type="zero" if final else "sigma_min")
                        add(walk(prepare(s, at, 0.0 if final else SIGMA[0] / ALPHA[0]), at),
                            f"sampler.use=dpmpp sampler.method=singlestep_grid sampler.order={order} sampler.eta={eta} sampler.solver={solver} "
                            f"sampler.lower_order_final={str(final).lower()} sampler.compat=diffusers", predict, at, last="data" if final else "first")
    # Two evaluations a step, and a Brownian motion in sigma / alpha. x0 it has not.
    if predict != "x0":
        s = prepare(DPMSolverSDEScheduler(**COMMON, prediction_type=target), UNEVEN)
        s.sigmas = torch.cat([s.sigmas[:1], s.sigmas[1:-1].repeat_interleave(2), s.sigmas[-1:]])
        s.timesteps = torch.cat([s.timesteps[:1], s.timesteps[1:].repeat_interleave(2)]).double()

        def brownian(sigma, sigma_next, kept=[]):
            if kept:  # the whole step, after its first half
                half, first = kept.pop()
                share = (sigma - half) / (sigma - sigma_next)
                return share.sqrt() * first + (1 - share).sqrt() * draw()
            kept.append((sigma_next, draw()))
            return kept[-1][1]

        s.noise_sampler, s.sample, s.mid_point_sigma = brownian, None, None
        add(walk(s, UNEVEN, scaled=True, calls=lambda i: 2 if i < len(UNEVEN) - 1 else 1),
            "sampler.use=dpmpp sampler.method=singlestep sampler.order=2 sampler.eta=1 sampler.compat=diffusers", predict, UNEVEN)

save_file({"x": x.float(), "F": F.float(), "z": Z.float(), **tensors}, os.path.join(OUT, "walks.safetensors"))
with open(os.path.join(OUT, "walks.txt"), "w") as f:
    f.write("\n".join(rows) + "\n")
print(len(rows), "walks; torch", torch.__version__, "numpy", np.__version__, file=sys.stderr)
