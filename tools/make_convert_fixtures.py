"""Writes tests/parity/data/guided: for each model of tests/parity/guided_cases.py inputs x, t, y, what the UNet in
PyTorch (guided_unet.py) gives for them, and in the metadata the shapes of its tensors.

    python tools/make_convert_fixtures.py
"""
import json
import os
import sys

import torch
from guided_unet import GuidedUNet
from safetensors.torch import save_file

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/parity"))
from guided_cases import CASES, weights  # noqa: E402


def main():
    folder = os.path.join(ROOT, "tests/parity/data/guided")
    os.makedirs(folder, exist_ok=True)
    for seed, (name, (config, _)) in enumerate(CASES.items()):
        model = GuidedUNet(**config).eval()
        shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
        model.load_state_dict({k: torch.tensor(weights(k, s)).reshape(s) for k, s in shapes.items()})
        torch.manual_seed(seed)
        x, t = torch.randn(2, model.input_blocks[0][0].in_channels, 8, 12), torch.tensor([3, 801])
        y = torch.tensor([4, 2]) if config.get("classes") else None
        with torch.no_grad():
            out = model(x, t, y)
        save_file({"x": x, "t": t, "out": out, **({"y": y} if y is not None else {})}, os.path.join(folder, f"{name}.safetensors"),
                  {"shapes": json.dumps(shapes)})


if __name__ == "__main__":
    main()
