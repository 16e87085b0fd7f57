"""Sampling: batch sizes do not matter, given noise, traces, errors; samples follow the data; predictions."""
import array
import math
import os
import random

from cli import demist, floats, moons, path, read_safetensors, run_tests, write_safetensors

TRAIN = ["train.steps=1500", "train.batch=256", "network.width=64", "network.depth=3", "train.log_every=100"]


def pack(values):
    return array.array("f", values).tobytes()


def tensor(file, name="x"):
    return read_safetensors(file)[0][name]


def trained():
    demist("train", *moons("run", *TRAIN))


def sample(out, *more, **kw):
    return demist("sample", path("run"), *more, "--tensors", path(out), "--force", **kw)


def images_do_not_depend_on_the_batch():
    for det in ("deterministic=true", "deterministic=false"):
        sample("a", det, "--count", 13)
        sample("b", det, "--count", 13, "sampler.batch=4")
        sample("c", det, "--count", 5, "--first", 8, "sampler.batch=5")
        a, b, c = (floats(tensor(path(f))) for f in "abc")
        if det == "deterministic=true":
            assert a == b and a[16:] == c
        else:
            assert max(abs(x - y) for x, y in zip(a, b)) < 1e-3
    for more in (["sampler.use=ddpm", "sampler.steps=30"], ["sampler.eta=0.7"]):
        sample("a", "deterministic=true", "--count", 9, *more)
        sample("b", "deterministic=true", "--count", 9, "sampler.batch=2", *more)
        assert floats(tensor(path("a"))) == floats(tensor(path("b"))), more


def seeds_differ():
    sample("a", "--count", 4)
    sample("b", "--count", 4, "seed=2")
    assert floats(tensor(path("a"))) != floats(tensor(path("b")))


def noise_is_given_in_turn():
    rng = random.Random(1)
    x = [rng.gauss(0, 1) for _ in range(6)]
    z = [rng.gauss(0, 1) for _ in range(9 * 6)]
    write_safetensors(path("noise"), {"x": ("F32", [3, 2], pack(x)), "z": ("F32", [9, 3, 2], pack(z))})
    ddpm = ["sampler.use=ddpm", "sampler.steps=10"]
    sample("a", *ddpm, "--noise", path("noise"))
    sample("b", *ddpm, "--noise", path("noise"), "seed=99")
    assert tensor(path("a"))[1] == [3, 2]
    assert floats(tensor(path("a"))) == floats(tensor(path("b")))
    _, err = sample("a", "sampler.use=ddpm", "sampler.steps=11", "--noise", path("noise"), code=2)
    assert "10" in err and "9" in err, err
    _, err = sample("a", "--noise", path("noise"), "--count", 4, code=2)
    assert "3" in err
    write_safetensors(path("noise"), {"x": ("F32", [1, 3], pack([1, 2, 3]))})
    sample("a", "--noise", path("noise"), code=2)


def traces():
    demist("sample", path("run"), "--count", 3, "sampler.steps=5", "--tensors", path("t"), "--trace", path("trace.safetensors"), "--force")
    dtype, shape, _ = tensor(path("trace.safetensors"))
    assert shape == [6, 3, 2], shape
    assert floats(tensor(path("trace.safetensors")))[-6:] == floats(tensor(path("t")))


def pictures():
    out, _ = demist("sample", path("run"), "--count", 50, "--out", path("picture.png"))
    assert out.strip() == path("picture.png")
    assert open(path("picture.png"), "rb").read(8) == b"\x89PNG\r\n\x1a\n"
    before = open(path("picture.png"), "rb").read()
    _, err = demist("sample", path("run"), "--count", 50, "--out", path("picture.png"), code=2)
    assert "--force" in err and open(path("picture.png"), "rb").read() == before
    demist("sample", path("run"), "--count", 1, "--out", path("both"), "--tensors", path("both"), code=2)
    _, err = demist("sample", path("run"), "--count", 1, "--out", path("both.png"), "--tensors", path("both.png"), code=2)
    assert "two outputs" in err, err
    open(path("n1.png"), "w").write("mine")
    _, err = demist("sample", path("run"), "--count", 3, "--out", path("n%d.png"), code=2)
    assert "n1.png" in err and open(path("n1.png")).read() == "mine", err


def a_checkpoint_is_enough():
    sample("a", "--count", 3)
    os.makedirs(path("elsewhere"), exist_ok=True)
    os.link(path("run/checkpoints/step-00001500.safetensors"), path("elsewhere/model.safetensors"))
    demist("sample", path("elsewhere/model.safetensors"), "--count", 3, "--tensors", path("b"), "--force")
    assert floats(tensor(path("a"))) == floats(tensor(path("b")))
    sample("c", "--count", 3, "--raw")
    assert floats(tensor(path("a"))) != floats(tensor(path("c")))


def damaged_checkpoints_are_refused():
    good = open(path("run/checkpoints/step-00001500.safetensors"), "rb").read()
    flipped = good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]  # which its checksum tells alone
    for name, data in {"cut": good[:-100], "head": good[:4], "empty": b"", "long": good + b"x", "noise": os.urandom(1000), "flipped": flipped}.items():
        open(path(name), "wb").write(data)
        _, err = demist("sample", path(name), "--count", 1, "--tensors", path("x"), code=5)
        assert name in err
    os.makedirs(path("all-damaged/checkpoints"))
    open(path("all-damaged/checkpoints/step-00001500.safetensors"), "wb").write(flipped)
    _, err = demist("sample", path("all-damaged"), "--count", 1, "--tensors", path("x"), code=5)
    assert "is intact" in err and "CRC-32" in err, err
    demist("sample", path("nowhere"), "--count", 1, "--tensors", path("x"), code=2)


def predictions():
    rng = random.Random(2)
    x = [rng.gauss(0, 1) for _ in range(14)]
    write_safetensors(path("in"), {"x": ("F32", [7, 2], pack(x)), "t": ("I64", [7], array.array("q", range(0, 700, 100)).tobytes())})
    demist("predict", path("run"), "--in", path("in"), "--out", path("out"))
    demist("predict", path("run"), "--in", path("in"), "--out", path("out"), code=2)
    demist("predict", path("run"), "--in", path("in"), "--out", path("in"), "--force", code=2)
    a = floats(tensor(path("out"), "out"))
    write_safetensors(path("in"), {"x": ("F32", [7, 2], pack(x)), "t": ("F32", [7], pack(range(0, 700, 100)))})
    demist("predict", path("run"), "--in", path("in"), "--out", path("out2"))
    assert a == floats(tensor(path("out2"), "out")) and all(math.isfinite(v) for v in a)
    write_safetensors(path("in"), {"x": ("F32", [7, 2], pack(x)), "t": ("F32", [6], pack(range(6)))})
    demist("predict", path("run"), "--in", path("in"), "--out", path("out3"), code=2)
    write_safetensors(path("in"), {"x": ("F32", [2, 7], pack(x)), "t": ("F32", [2], pack(range(2)))})
    demist("predict", path("run"), "--in", path("in"), "--out", path("out3"), code=2)


run_tests([trained, images_do_not_depend_on_the_batch, seeds_differ, noise_is_given_in_turn, traces, pictures, a_checkpoint_is_enough,
           damaged_checkpoints_are_refused, predictions])
