"""Compares `demist convert` and `demist predict` with the same UNet in PyTorch (guided_unet.py: the architecture of
improved-diffusion and guided-diffusion, with their tensor names), random weights, fp32.

Prints a line for each configuration with the largest difference over the output's largest magnitude, and fails where
that is above 1e-4. Needs torch and safetensors.

    DEMIST=build/demist python tools/compare_convert.py [--device cpu] [--only NAME]
"""
import argparse
import os
import subprocess
import sys
import tempfile

import torch
from guided_unet import make
from safetensors.torch import load_file, save_file


def configs():
    """Name, the model, what demist convert is told."""
    yield "base", {}, []
    yield "improved-diffusion CIFAR-10, narrow", dict(mult=(1, 2, 2, 2), blocks=3, attend=(2, 4), scale_shift=True, learn_sigma=True), []
    yield "improved-diffusion ImageNet 64, narrow", dict(mult=(1, 2, 3, 4), blocks=3, attend=(4, 8), scale_shift=True, learn_sigma=True, classes=10), []
    yield "guided-diffusion 64, narrow", dict(mult=(1, 2, 3, 4), blocks=3, attend=(2, 4, 8), head_channels=32, new_order=True, scale_shift=True,
                                               res_resize=True, classes=10, learn_sigma=True), ["network.heads=0", "network.head_dim=32", "--qkv", "new"]
    yield "guided-diffusion 512, narrow", dict(width=64, mult=(0.5, 1, 1, 2), blocks=2, attend=(4, 8), head_channels=32, scale_shift=True, res_resize=True,
                                                classes=10, learn_sigma=True), ["network.heads=0", "network.head_dim=32"]
    yield "LSUN, narrow", dict(mult=(1, 1, 2, 2, 4, 4), blocks=2, attend=(8, 16, 32), head_channels=32, scale_shift=True, res_resize=True, learn_sigma=True), [
        "network.heads=0", "network.head_dim=32"]
    yield "one level", dict(mult=(1,), attend=(1,)), []
    yield "attention everywhere", dict(mult=(1, 2, 1), attend=(1, 2, 4)), []
    yield "attention in the middle alone", dict(attend=()), []
    yield "one head", dict(heads=1), ["network.heads=1"]
    yield "8 heads, new order", dict(heads=8, new_order=True), ["network.heads=8", "--qkv", "new"]
    yield "4 heads, new order", dict(heads=4, new_order=True), ["--qkv", "new"]
    yield "16 channels a head", dict(head_channels=16), ["network.heads=0", "network.head_dim=16"]
    yield "scale and shift", dict(scale_shift=True), []
    yield "residual blocks resize", dict(mult=(1, 2, 2), res_resize=True), []
    yield "100 classes", dict(classes=100), []
    yield "grey, learned variance", dict(channels=1, learn_sigma=True), []
    yield "three blocks", dict(blocks=3, mult=(2, 1, 3)), []
    yield "half precision", dict(_half=torch.float16), []


def ask_demist(model, told, x, t, y, half, device):
    with tempfile.TemporaryDirectory() as d:
        files = {k: os.path.join(d, f"{k}.safetensors") for k in ("theirs", "ours", "in", "out")}
        save_file({k: v.to(half) for k, v in model.state_dict().items()}, files["theirs"])
        save_file({"x": x, "t": t, **({"y": y} if y is not None else {})}, files["in"])
        demist = os.environ.get("DEMIST", "demist")
        for command in (["convert", files["theirs"], *told, "--to", files["ours"]],
                        ["predict", files["ours"], f"device={device}", "--in", files["in"], "--out", files["out"]]):
            p = subprocess.run([demist, *command, "-q"], capture_output=True, text=True)
            if p.returncode:
                return p.stderr.strip()
        return load_file(files["out"])["out"]


def main():
    torch.set_num_threads(1)  # such small networks are only slowed by more
    a = argparse.ArgumentParser()
    a.add_argument("--device", default=os.environ.get("DEMIST_DEVICE", "auto"))
    a.add_argument("--only", default="")
    a = a.parse_args()
    failed, worst, n = 0, 0.0, 0
    for seed, (name, config, told) in enumerate(configs()):
        if a.only not in name:
            continue
        half = config.pop("_half", torch.float32)
        model = make(config, seed)
        if half != torch.float32:
            model = model.to(half).float()
        channels, side = model.input_blocks[0][0].in_channels, 32
        x, t = torch.randn(2, channels, side, side), torch.tensor([3, 801])
        y = torch.tensor([7, 2]) if config.get("classes") else None
        out = ask_demist(model, told, x, t, y, half, a.device)
        if isinstance(out, str):
            print(f"BAD  {name}: {out}")
            failed += 1
            continue
        with torch.no_grad():
            want = model(x, t, y)
        ratio = ((out - want).abs().max() / want.abs().max()).item()
        failed += not ratio <= 1e-4
        worst, n = max(worst, ratio), n + 1
        print(f"{'ok  ' if ratio <= 1e-4 else 'BAD '} {ratio:.2e}  {name}", flush=True)
    print(f"{n} configurations, largest difference {worst:.1e} of the largest output; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
