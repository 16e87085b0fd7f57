"""Predictions in fp16: how far demist's, and PyTorch's own, are from PyTorch's in fp32, of the models of the tests. Fails where demist is more
than twice as far as PyTorch. $DEMIST: the program, $DEMIST_DEVICE: a device with cl_khr_fp16, else nothing is compared."""
import json
import os
import subprocess
import tempfile

import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file

DEMIST, DEVICE = os.environ.get("DEMIST", "build/demist"), os.environ.get("DEMIST_DEVICE", "1:0")
MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity/data/diffusers")


def of_pytorch(folder, given, dtype):
    net = UNet2DModel.from_pretrained(folder, torch_dtype=dtype).eval()
    with torch.no_grad():
        return net(given["x"].to(dtype), given["t"], **({"class_labels": given["y"]} if "y" in given else {})).sample.float()


def of_demist(folder, file):
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([DEMIST, "predict", folder, f"device={DEVICE}", "precision=fp16", "--in", file, "--out", f"{tmp}/out", "-q"], check=True,
                       env={**os.environ, "DEMIST_IMPL": "conv2d=fp16,matmul=fp16"})  # what GPUs choose by themselves
        return load_file(f"{tmp}/out")["out"]


def main():
    here = [d for d in json.loads(subprocess.check_output([DEMIST, "devices", "--json"])) if d["device"] == DEVICE]
    if not here or not here[0]["fp16"]:
        print(f"device {DEVICE} has no half precision (cl_khr_fp16): nothing to compare")
        return
    for model in "plain", "adm", "fourier":
        folder = os.path.join(MODELS, model)
        file = os.path.join(folder, "expected.safetensors")
        given = load_file(file)
        want = of_pytorch(folder, given, torch.float32)
        ours, theirs, bf16 = (float((got - want).abs().max() / want.abs().max())
                              for got in (of_demist(folder, file), of_pytorch(folder, given, torch.float16), of_pytorch(folder, given, torch.bfloat16)))
        print(f"{model}: fp16 differs from fp32 by {ours:.1e} of the largest output; PyTorch's by {theirs:.1e}, its bfloat16 by {bf16:.1e}")
        assert ours <= 2 * theirs, model


if __name__ == "__main__":
    main()
