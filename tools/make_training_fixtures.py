"""Writes tests/parity/data/training: for two models of tests/parity/data/diffusers an experiment and, in
expected.safetensors, its images and what PyTorch makes of ten steps in double precision: losses, norms, and some of the
weights and averages.

    python tools/make_training_fixtures.py
"""
import json
import os
import shutil

import numpy as np
import torch
from compare_training import COUNT, experiment_of, train
from diffusers import UNet2DModel
from safetensors.torch import save_file

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/parity/data")
KEPT = ("conv_in.weight", "conv_out.", "time_embedding.linear_1.weight", "time_proj.", "to_q.weight", "to_out.0.bias",
        "mid_block.resnets.0.norm2.", "up_blocks.1.resnets.0.conv_shortcut.weight")
MODELS = {"plain": ("linear", "eps", 0.1, {}), "fourier": ("cosine", "v", 1e-3, dict(warmup=4, decay="cosine"))}


def main():
    shutil.rmtree(f"{DATA}/training", ignore_errors=True)
    for name, (schedule, predict, clip, more) in MODELS.items():
        model = UNet2DModel.from_pretrained(f"{DATA}/diffusers/{name}", low_cpu_mem_usage=False)
        images = np.random.default_rng(5).integers(0, 256, (COUNT, 1, 8, 8), np.uint8)
        losses, norms, _, ends = train(model, images, None, schedule, predict, clip, more, torch.float64)
        assert min(norms) > clip, norms
        folder = f"{DATA}/training/{name}"
        os.makedirs(folder)
        with open(f"{folder}/experiment.json", "w") as f:
            json.dump(experiment_of(model.config, dict(use="npy"), schedule, predict, clip, more, ""), f, indent=1)
            f.write("\n")
        tensors = {"images": torch.from_numpy(images), "losses": torch.tensor(losses, dtype=torch.float64),
                   "norms": torch.tensor(norms, dtype=torch.float64)}
        for prefix, weights in zip(("model", "ema.0", "ema.1"), ends):
            kept = {k: v for k, v in weights.items() if any(part in k for part in KEPT)}
            tensors |= {f"{prefix}.{k}": v.float().contiguous() for k, v in kept.items()}
        save_file(tensors, f"{folder}/expected.safetensors")


if __name__ == "__main__":
    main()
