"""Several ranks that train what lies in several buffers, since no device gives as much in one (as_gpu.c)."""
import os

from cli import DEVICE, log_lines, path, run_tests, same_tensors
from mpi import LAST, ranks
from pretended import AS_GPU, LARGER, SANITIZER, images

# Of a megabyte of weights; the largest is of 147 kB.
WHOLE, PARTS, LESS = "0", "400000", "300000"
FIXED = "train.micro_batch=1", "--deterministic"


def train(out, allocations, *more, **how):
    """A rank for each of these: what its device gives in one buffer."""
    preload = f"{AS_GPU}:{os.environ['DEMIST_PRELOAD']}" if "DEMIST_PRELOAD" in os.environ else AS_GPU
    own = [{"LD_PRELOAD": preload, "AS_GPU": "amd", "AS_GPU_ALLOC": n, "DEMIST_CACHE": path(f"cache-{n}"), **SANITIZER} for n in allocations]
    return ranks(own, "train", path("e.yaml"), f"output={path(out)}", f"device={DEVICE}", *LARGER, "train.save_every=1", "train.keep=9",
                 "matmul_precision=highest", "-q", *more, **how)


def the_same_as_one():
    train("whole", [WHOLE])
    for n in 2, 3:
        train(f"plain{n}", [PARTS] * n)  # each checkpoint compares the ranks' weights
        for a, b in zip(log_lines(path("whole")), log_lines(path(f"plain{n}")), strict=True):
            assert abs(a["loss"] - b["loss"]) <= 1e-4 * a["loss"], (a, b)


def the_same_bits():
    train("fixed1", [PARTS], *FIXED)
    train("fixed2", [PARTS] * 2, *FIXED)
    train("shards2", [PARTS] * 2, *FIXED, "train.shard_optimizer=true")
    train("shards3", [PARTS] * 3, *FIXED, "train.shard_optimizer=true")
    for run in "fixed2", "shards2", "shards3":
        assert not same_tensors(path("fixed1", LAST % 3), path(run, LAST % 3)), run
    ranks([{"LD_PRELOAD": "", "DEMIST_CACHE": path("cache")}] * 2, "resume", path("shards3"), "train.steps=4", "-q")  # whatever devices give then


def unlike_devices():
    """Weights lie where they fit on all."""
    train("unlike", [PARTS, WHOLE, LESS], *FIXED)
    train("like", [LESS], *FIXED)
    assert not same_tensors(path("like", LAST % 3), path("unlike", LAST % 3))
    out = train("small", [WHOLE, "100000"], code=6)
    assert out.count("demist: error:") == 1 and "another rank's device gives at most" in out, out


if __name__ == "__main__":
    images()
    run_tests([the_same_as_one, the_same_bits, unlike_devices])
