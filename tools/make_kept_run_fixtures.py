"""Writes tests/parity/data/kept_runs with the program of an earlier commit: for each experiment a run folder after 4
steps, its samples, and in expected.safetensors the losses and weights of resuming it to 8 steps.

    python tools/make_kept_run_fixtures.py EARLIER_DEMIST [OUT]

EARLIER_DEMIST is the program as built from commit 9acce3d, the last before folders, names and the library changed. The
kept files are not to be made again with a later one: what they show is that runs of that time are still read. With
DEMIST_DEVICE and another OUT the same is made on another device, to compare bits (docs/reliability.md)."""
import json
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/parity/data/kept_runs")
KEPT = ("resolved.yaml", "choices.json", "log.jsonl", "checkpoints", "tb")
POINTS = """\
data: {use: toy2d, shape: moons}
schedule: {use: cosine, timesteps: 1000}
network: {use: mlp, width: 8, depth: 2}
objective: {use: simple, predict: v}
"""
IMAGES = """\
data: {use: idx, train_images: images.idx}
schedule: {use: linear, timesteps: 1000, beta_start: 1.0e-4, beta_end: 0.02}
network: {use: unet, channels: [4, 4], attend: [0, 1], layers: 1, groups: 2, dropout: 0.1}
objective: {use: simple, predict: eps}
"""
SHARED = """\
name: {name}
seed: 1
sampler: {{use: ddim, steps: 5, eta: 0}}
train: {{steps: 8, batch: 8, lr: 1.0e-3, warmup: 4, ema: {ema}, log_every: 1, save_every: 4, keep: 10}}
output: {name}
"""
WORK = "/tmp/demist-kept-runs"  # its name stands in the runs
DEVICE = os.environ.get("DEMIST_DEVICE", "0:0")


def write_images(file):
    """32 images of 8 x 8."""
    with open(file, "wb") as f:
        f.write(struct.pack(">4I", 0x803, 32, 8, 8))
        f.write(bytes((i * i * 37 + i * 11 + (i >> 6) * 53) % 251 for i in range(32 * 64)))


def make(program, out, name, text, ema):
    def run(*args):
        subprocess.run([program, *args, f"device={DEVICE}"], cwd=WORK, check=True, stdin=subprocess.DEVNULL)

    with open(f"{WORK}/{name}.yaml", "w") as f:
        f.write(text + SHARED.format(name=name, ema=ema))
    run("train", f"{name}.yaml", "train.steps=4")
    os.makedirs(f"{out}/{name}")
    for kept in KEPT:
        copy = shutil.copytree if os.path.isdir(f"{WORK}/{name}/{kept}") else shutil.copy
        copy(f"{WORK}/{name}/{kept}", f"{out}/{name}/{kept}")
    run("sample", name, "--count", "4", "--tensors", "samples.safetensors", "--force")
    run("resume", name, "train.steps=8")
    with open(f"{WORK}/{name}/log.jsonl") as f:
        steps = [json.loads(line) for line in f]
    losses = [s["loss"] for s in steps if s.get("step", 0) > 4 and "loss" in s]
    weights = load_file(f"{WORK}/{name}/checkpoints/step-00000008.safetensors")
    expected = {k: w for k, w in weights.items() if w.dtype == np.float32 and k.startswith("model.")}
    expected["losses"] = np.array(losses, np.float64)
    expected["samples"] = load_file(f"{WORK}/samples.safetensors")["x"]
    save_file(expected, f"{out}/{name}-expected.safetensors")


def main():
    program, out = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else OUT
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(WORK)
    try:
        write_images(f"{WORK}/images.idx")
        for name, text, ema in (("points", POINTS, "0.9"), ("images", IMAGES, "[]")):
            make(program, out, name, text, ema)
        shutil.copy(f"{WORK}/images.idx", out)
    finally:
        shutil.rmtree(WORK)


if __name__ == "__main__":
    main()
