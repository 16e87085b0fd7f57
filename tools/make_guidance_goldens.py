#!/usr/bin/env python3
"""Expected values of classifier-free guidance: tests/parity/data/guidance.safetensors.

diffusers' own rescale_noise_cfg in double precision on two outputs in float32; a result's name says scale and rescale.
Needs numpy, torch, diffusers, safetensors."""
import ast
import os

import diffusers
import numpy as np
import torch
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data/guidance.safetensors")
# The module itself needs transformers.
PIPELINE = os.path.join(os.path.dirname(diffusers.__file__), "pipelines/stable_diffusion/pipeline_stable_diffusion.py")
functions = [n for n in ast.parse(open(PIPELINE).read()).body if isinstance(n, ast.FunctionDef)]
parts = [n for n in functions if n.name == "rescale_noise_cfg"]
exec(compile(ast.Module(parts, []), PIPELINE, "exec"))
rng = np.random.default_rng(5)
with_class, without = (torch.from_numpy(rng.standard_normal((3, 2, 9, 11)).astype(np.float32)) for _ in range(2))
with_class[1] *= 4
without[2] += 1.5
values = {"class": with_class, "none": without}
for scale in (0.0, 1.5, 3.0, 7.5):
    for rescale in (0.0, 0.7, 1.0):
        c, u = with_class.double(), without.double()
        guided = u + scale * (c - u)
        if rescale > 0:
            guided = globals()["rescale_noise_cfg"](guided, c, guidance_rescale=rescale)
        values[f"{scale} {rescale}"] = guided.contiguous()
save_file(values, OUT)
