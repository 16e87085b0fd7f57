#!/usr/bin/env python3
"""Writes tests/parity/data/gradients.safetensors: the gradient of the first training step with respect to each weight of the
perceptron and the U-Net of make_selftest_values.py, by PyTorch in double precision; and of a small classifier to
classifier_gradients.safetensors."""
import os

import torch
from safetensors.torch import save_file

from make_selftest_values import Mlp, UNet, loss_of, set_weights, start_value

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data")


class Classifier(torch.nn.Module):
    """The plugin classifier, channels [4, 8], groups 2, features 6, of 3 classes."""

    def __init__(self):
        super().__init__()
        conv = lambda i, o, stride=1: torch.nn.Conv2d(i, o, 3, stride, 1)
        norm = lambda c: torch.nn.GroupNorm(2, c)
        block = torch.nn.ModuleDict({"norm1": norm(8), "conv1": conv(8, 8), "norm2": norm(8), "conv2": conv(8, 8)})
        self.levels = torch.nn.ModuleList([torch.nn.ModuleDict({"conv": conv(1, 4), "norm": norm(4)}),
                                           torch.nn.ModuleDict({"conv": conv(4, 8, 2), "blocks": torch.nn.ModuleList([block]), "norm": norm(8)})])
        self.features, self.out = torch.nn.Linear(8, 6), torch.nn.Linear(6, 3)
        self.double()

    def forward(self, x):
        act, (one, two) = torch.nn.functional.silu, self.levels
        x = two["conv"](act(one["norm"](one["conv"](x))))
        b = two["blocks"][0]
        x = x + b["conv2"](act(b["norm2"](b["conv1"](act(b["norm1"](x))))))
        return self.out(act(self.features(act(two["norm"](x)).mean((2, 3)))))


def classifier_gradients():
    model = Classifier()
    set_weights(model)
    x = torch.tensor([2 * start_value("data", i) for i in range(4 * 64)]).float().double().reshape(4, 1, 8, 8)
    torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0])).backward()
    return {f"classifier.{key}": p.grad.float().contiguous() for key, p in model.named_parameters()}


out = {}
for name, model, shape in (("mlp", Mlp(), (2,)), ("unet", UNet(), (1, 8, 8))):
    set_weights(model)
    loss_of(model, shape, 0).backward()
    out.update({f"{name}.{key}": p.grad.float().contiguous() for key, p in model.named_parameters()})
save_file(out, os.path.join(DATA, "gradients.safetensors"))
save_file(classifier_gradients(), os.path.join(DATA, "classifier_gradients.safetensors"))
