#!/usr/bin/env python3
"""Writes tests/parity/data/gradients.safetensors: the gradient of the first training step with respect to each weight of the
perceptron and the U-Net of make_selftest_values.py, by PyTorch in double precision."""
import os

from safetensors.torch import save_file

from make_selftest_values import Mlp, UNet, loss_of, set_weights

out = {}
for name, model, shape in (("mlp", Mlp(), (2,)), ("unet", UNet(), (1, 8, 8))):
    set_weights(model)
    loss_of(model, shape, 0).backward()
    out.update({f"{name}.{key}": p.grad.float().contiguous() for key, p in model.named_parameters()})
save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data/gradients.safetensors"))
