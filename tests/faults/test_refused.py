"""A kernel that a device cannot run is replaced by the op's next implementation, and one line says so: it does not build, its
group or its local memory is larger than the device gives, or the driver says so only as it is launched (as_gpu.c)."""
import os
import re
import sys

from cli import DEVICE, demist, path, run_tests

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


def images():
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 1, 8, 8), }".ljust(117) + b"\n"
    with open(path("images.npy"), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        import array
        array.array("f", [((i * 37) % 101) / 101 - 0.5 for i in range(8 * 64)]).tofile(f)
    with open(path("e.yaml"), "w") as f:
        f.write(EXPERIMENT)


def train(out, refuse="", code=0, **env):
    env = {"LD_PRELOAD": AS_GPU, "AS_GPU": "amd", "AS_GPU_REFUSE": refuse, **SANITIZER, **env}
    _, err = demist("train", path("e.yaml"), f"output={path(out)}", f"device={DEVICE}", code=code, env=env)
    return err, open(path(out, "log.jsonl")).read() if code == 0 else ""


def losses(log):
    return [float(x) for x in re.findall(r'"loss": *([-+.e0-9]+)', log)]


def each_way_in_turn():
    _, right = train("right")
    for how in "build", "group", "local", "launch":
        err, log = train(f"by-{how}", f"{how}:matmul/tiled.cl")
        lines = [line for line in err.splitlines() if "does not run on this device" in line]
        what = [re.search(r"(\w+) by '(\w+)' does not run", line).groups() for line in lines]
        assert {("conv2d", "tiled"), ("conv2d_dx", "tiled"), ("conv2d_dw", "tiled")} <= set(what), (how, what, err)
        assert len(set(what)) == len(what), (how, err)
        assert all("matmul/tiled.cl" in line and f"{DEVICE} " in line for line in lines), (how, lines)
        assert len(losses(log)) == 2, log
        for a, b in zip(losses(log), losses(right)):
            assert abs(a - b) < 1e-4 * abs(b), (how, log, right)


def nothing_is_left():
    files = "matmul/tiled.cl", "conv/im2col.cl", "conv/winograd_tiled.cl", "conv/conv2d_portable.cl"
    for how in "build", "local", "launch":
        err, _ = train(f"none-{how}", ",".join(f"{how}:{f}" for f in files), code=4)
        assert "no implementation of conv2d runs" in err and "DEMIST_IMPL=conv2d=NAME" in err, (how, err)
        assert "conv/conv2d_portable.cl" in err or how != "build", err
    train("groups-of-one", ",".join(f"group:{f}" for f in files))  # enough for the portable one


def forced():
    err, _ = train("forced", "build:matmul/tiled.cl", code=4, DEMIST_IMPL="conv2d=tiled")
    assert "no implementation of conv2d runs" in err and "matmul/tiled.cl" in err, err


images()
run_tests([each_way_in_turn, nothing_is_left, forced])
