"""Devices that are pretended by profile (as_gpu.c): selftest, a training step, sampling, and what is larger than a buffer. With
DEMIST_PROFILES=all all of them, and the op tests at small shapes by the usual ones; else those with the least, and one without
local memory."""
import glob
import os
import subprocess
import sys

from cli import DEVICE, demist, path, run_tests
from pretended import AS_GPU, LARGER, SANITIZER, images, losses, train

ALL = os.environ.get("DEMIST_PROFILES") == "all"
PROFILES = ["amd", "intel", "intel-hpc", "mali", "nvidia", "small", "least", "one-lane"] if ALL else ["mali", "small", "least"]
USUAL = ["amd", "intel", "nvidia", "small", "one-lane"] if ALL else []
OPS = sys.argv[2]


def pretend(profile):
    return {"LD_PRELOAD": AS_GPU, "AS_GPU": profile, **SANITIZER}


def selftest():
    for p in PROFILES if ALL else ["least"]:
        out, err = demist("selftest", "--device", DEVICE, env=pretend(p))
        assert out.rstrip().endswith(" 0 failed") and not err, (p, out, err)


def training_and_sampling():
    _, right = train("right", AS_GPU="", LD_PRELOAD="")
    for p in PROFILES:
        for precision in ("fp32", "bf16") if ALL else ("fp32",):
            _, log = train(f"{p}-{precision}", AS_GPU=p, precision=precision)
            assert len(losses(log)) == 2
            for a, b in zip(losses(log), losses(right)):
                assert abs(a - b) < (1e-4 if precision == "fp32" else 3e-2) * abs(b), (p, precision, log, right)
        demist("sample", path(f"{p}-fp32"), "--count", 3, "--out", path(f"{p}.png"), env=pretend(p))


# Where local memory is global, as on Arm's Mali, tiles in it are slower; that does not make the device a CPU.
def kernels_of_gpus():
    for p in "amd", "mali":
        out, _ = demist("check", path("e.yaml"), f"device={DEVICE}", "--explain", env=pretend(p))
        assert "tiled" in out and "vec16" not in out, (p, out)


# A compiler without vectors of its own, as Mesa's for CPUs, takes minutes for products of bf16 without instructions for them.
def one_lane_has_no_imitated_bf16():
    for there, env in (False, pretend("one-lane")), (True, {}):
        out, _ = demist("check", path("e.yaml"), f"device={DEVICE}", "--explain", env={**env, "DEMIST_IMPL": "bf16x3"})
        assert ("bf16x3" in out) == there, out


def op_tests():
    failed = []
    for p in USUAL:
        for test in sorted(t for t in glob.glob(os.path.join(OPS, "op_*")) if os.path.isfile(t)):
            done = subprocess.run([test], env={**os.environ, **pretend(p), "DEMIST_TEST_SMALL": "1"}, capture_output=True, text=True)
            if done.returncode:
                print(p, os.path.basename(test), done.returncode, done.stderr[-2000:])
                failed.append((p, os.path.basename(test)))
    assert not failed, failed


# A megabyte of weights in allocations of 400 kB: as with 143 MB where a device gives 128 MiB at once.
def weights_in_several_buffers():
    right, parts = (train(f"split-{n}", more=LARGER, AS_GPU_ALLOC=n)[1] for n in ("0", "400000"))
    assert len(losses(right)) == 3
    for a, b in zip(losses(right), losses(parts)):
        assert abs(a - b) < 1e-5 * abs(b), (right, parts)
    demist("resume", path("split-400000"), "train.steps=4", env={**pretend("amd"), "AS_GPU_ALLOC": "400000"})
    demist("sample", path("split-400000"), "--count", 3, "--out", path("split.png"), env={**pretend("amd"), "AS_GPU_ALLOC": "400000"})


def a_weight_larger_than_a_buffer():
    for command in ["check"], ["train", f"output={path('large')}"]:
        _, err = demist(command[0], path("e.yaml"), f"device={DEVICE}", *LARGER, *command[1:], code=6,
                        env={**pretend("amd"), "AS_GPU_ALLOC": "100000"})
        assert "weight '" in err and "in one buffer" in err and "use a smaller network or another device" in err, err


images()
run_tests([training_and_sampling, kernels_of_gpus, one_lane_has_no_imitated_bf16, weights_in_several_buffers,
           a_weight_larger_than_a_buffer, selftest, op_tests])
