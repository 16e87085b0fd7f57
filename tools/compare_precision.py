#!/usr/bin/env python3
"""Does bf16 train as well as fp32? Trains a small U-Net on Fashion-MNIST with five seeds in fp32 and one in bf16, and
compares the mean loss of the last tenth of the steps: bf16 passes within two standard deviations of the seeds' mean.

    python tools/compare_precision.py build/demist [--steps 2000] [--seeds 5] [--device 0:0]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

CONFIG = """name: precision
data:
  use: idx
  train_images: /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
  train_labels: /usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz
  size: [8]
schedule: {use: linear}
network: {use: unet, channels: [16, 32], attend: [0, 0], layers: 1, groups: 8, dropout: 0}
objective: {use: simple, predict: eps}
sampler: {use: ddim}
train: {batch: 16, lr: 1.0e-3, ema: [], log_every: 10, save_every: 0}
"""


def last_tenth(demist, folder, config, precision, seed, steps, device):
    run = os.path.join(folder, f"{precision}-{seed}")
    subprocess.run([demist, "train", config, f"precision={precision}", f"seed={seed}", f"train.steps={steps}", f"device={device}",
                    f"output={run}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(run, "log.jsonl")) as f:
        lines = [json.loads(x) for x in f]
    loss = statistics.fmean(x["loss"] for x in lines if x["step"] > steps * 0.9)
    print(f"{precision}, seed {seed}: {loss:.5f}", flush=True)
    return loss


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("demist")
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--device", default="auto")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "precision.yaml")
        with open(config, "w") as f:
            f.write(CONFIG)
        losses = [last_tenth(a.demist, folder, config, "fp32", s, a.steps, a.device) for s in range(1, a.seeds + 1)]
        bf16 = last_tenth(a.demist, folder, config, "bf16", 1, a.steps, a.device)
    mean, sd = statistics.fmean(losses), statistics.stdev(losses)
    print(f"fp32: {mean:.5f} +- {sd:.5f} ({a.seeds} seeds); bf16 lies {(bf16 - mean) / sd:+.2f} standard deviations from it")
    raise SystemExit(0 if abs(bf16 - mean) <= 2 * sd else 1)


if __name__ == "__main__":
    main()
