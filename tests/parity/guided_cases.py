"""Weights of the recorded UNets of improved-diffusion and guided-diffusion, made from their names alone, so that only
their shapes and outputs are kept. Python's standard library alone."""
import array
import math
import random

# The model (of tools/guided_unet.py) and what demist convert is told.
CASES = {
    "improved": (dict(width=32, mult=(1, 2), heads=4, attend=(2,), learn_sigma=True), []),
    "guided": (dict(width=64, mult=(0.5, 1), attend=(2,), head_channels=16, new_order=True, scale_shift=True, res_resize=True, classes=5, channels=1),
               ["network.heads=0", "network.head_dim=16", "--qkv", "new"]),
}


def weights(name, shape):
    """f32 values: those of norms around 1, biases around 0, the others by their inputs."""
    count, inputs = math.prod(shape), math.prod(shape[1:])
    r = random.Random(name)
    if len(shape) > 1:
        return array.array("f", (math.sqrt(3 / inputs) * (2 * r.random() - 1) for _ in range(count)))
    middle = 1 if name.endswith(("in_layers.0.weight", "out_layers.0.weight", "norm.weight", "out.0.weight")) else 0
    return array.array("f", (middle + 0.3 * (2 * r.random() - 1) for _ in range(count)))
