"""What the tests of pretended devices share: as_gpu.c before demist, and a U-Net that trains within seconds."""
import array
import os
import re
import sys

from cli import DEVICE, demist, path

AS_GPU = os.path.abspath(sys.argv[1])
SANITIZER = {"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"} if "ASAN_OPTIONS" in os.environ else {}
os.environ.pop("DEMIST_IMPL", None)
EXPERIMENT = """
network: {use: unet, channels: [8, 16], attend: [0, 1], layers: 1, groups: 4, dropout: 0}
schedule: {use: linear}
objective: {use: simple}
sampler: {use: ddim, steps: 2}
data: {use: npy, file: images.npy}
train: {batch: 4, steps: 2, log_every: 1, lr: 1e-3, ema: []}
tune: off
"""
# A megabyte of weights.
LARGER = ["network.channels=[32, 64]", "network.groups=8", "train.steps=3", "train.ema=[0.9]"]


def images():
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 1, 8, 8), }".ljust(117) + b"\n"
    with open(path("images.npy"), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        array.array("f", [((i * 37) % 101) / 101 - 0.5 for i in range(8 * 64)]).tofile(f)
    with open(path("e.yaml"), "w") as f:
        f.write(EXPERIMENT)


def train(out, refuse="", code=0, precision="fp32", more=(), **env):
    # A cache of its own, empty: a program that is kept there as a binary has no source by which to refuse it.
    env = {"LD_PRELOAD": AS_GPU, "AS_GPU": "amd", "AS_GPU_REFUSE": refuse, "DEMIST_CACHE": path("cache-" + out), **SANITIZER, **env}
    _, err = demist("train", path("e.yaml"), f"output={path(out)}", f"device={DEVICE}", f"precision={precision}", *more, code=code, env=env)
    return err, open(path(out, "log.jsonl")).read() if code == 0 else ""


def losses(log):
    return [float(x) for x in re.findall(r'"loss": *([-+.e0-9]+)', log)]
