"""A kernel that a device cannot run is replaced by the op's next implementation, and one line says so: it does not build, its
group or its local memory is larger than the device gives, or the driver says so only as it is launched (as_gpu.c)."""
import re

from cli import DEVICE, run_tests
from pretended import images, losses, train

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
