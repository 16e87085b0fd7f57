"""A run goes on with the data and the learning rate that it began with, or says why not; what cannot be sampled well is said."""
import os
import shutil
import struct
import zlib

from cli import DEVICE, demist, moons, path, read_safetensors, run_tests, same_tensors, write_npy


def png(file, pixels, width):
    """Grey."""
    rows = b"".join(b"\0" + bytes(pixels[i:i + width]) for i in range(0, len(pixels), width))
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, len(pixels) // width, 8, 0, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def pictures(folder, n=6, classes=("cat", "dog"), first=0):
    for i in range(n):
        png(path(folder, classes[i % len(classes)], f"{i:03}.png"), [(first + 37 * i + k) % 256 for k in range(16)], 4)


def experiment(folder, out, more="", test=""):
    text = (f"name: tiny\nseed: 3\ndevice: {DEVICE}\noutput: {path(out)}\ndata: {{use: image_folder, labels: true, folder: {path(folder)}{test}}}\n"
            "schedule: {use: linear, timesteps: 20}\nnetwork: {use: unet, channels: [8], layers: 1, groups: 4, attend: [0]}\n"
            f"objective: {{use: simple}}\nsampler: {{use: ddim, steps: 2}}\ntrain: {{steps: 4, batch: 4, log_every: 2, save_every: 2{more}}}\n")
    open(path(out + ".yaml"), "w").write(text)
    return path(out + ".yaml")


def other_images_are_refused():
    pictures("d")
    demist("train", experiment("d", "r"), "-q")
    shutil.copytree(path("r"), path("kept"))

    def with_data(change, saying, undo):
        change()
        _, err = demist("resume", path("r"), "train.steps=6", code=2)
        assert saying in err and "--data-changed" in err, err
        undo()

    a, b, c = path("d/cat/000.png"), path("d/dog/001.png"), path("d/dog/new.png")
    away = path("away.png")
    with_data(lambda: os.rename(a, away), "5 examples, where it had 6", lambda: os.rename(away, a))
    with_data(lambda: pictures("d", 8), "8 examples, where it had 6", lambda: (os.remove(path("d/cat/006.png")), os.remove(path("d/dog/007.png"))))
    with_data(lambda: os.rename(b, c), "other file names or sizes", lambda: os.rename(c, b))

    def repaint():
        shutil.copy(b, away)
        png(b, [(5 + k) % 256 for k in range(16)], 4)
    with_data(repaint, "", lambda: shutil.copy(away, b))
    # A new class before the others gives them other numbers.
    with_data(lambda: pictures("d", 1, ["ant"]), "class 0 is 'ant' and was 'cat'", lambda: shutil.rmtree(path("d/ant")))
    # As it was, and moved to another place: bit for bit as one that was not stopped.
    demist("resume", path("r"), "train.steps=6", "-q")
    os.rename(path("d"), path("moved"))
    text = open(path("kept/resolved.yaml")).read()
    open(path("kept/resolved.yaml"), "w").write(text.replace(path("d"), path("moved")))
    demist("resume", path("kept"), "train.steps=6", "-q")
    last = "checkpoints/step-00000006.safetensors"
    assert same_tensors(path("r", last), path("kept", last)) == []


def changed_data_are_taken_when_said():
    pictures("moved", 1, ["ant"])
    _, err = demist("train", path("kept/resolved.yaml"), "train.steps=8", f"output={path('kept')}", "--resume", "--data-changed")
    assert "the training data have changed" in err and "class 0 is 'ant' and was 'cat'" in err, err
    meta = read_safetensors(path("kept/checkpoints/step-00000008.safetensors"))[1]
    assert meta["data.class_names"] == "ant/cat/dog" and "at step 6: class 0" in meta["data.classes_changed"], meta
    assert "at step 6" in demist("sample", path("kept"), "--out", path("s.png"))[1]
    demist("resume", path("kept"), "train.steps=9", "-q")  # those are its data now


def other_conditions_are_refused():
    """What lies in files of the section condition is as much of the data as the images are."""
    pictures("told")
    demist("train", experiment("told", "c"), f"condition.vector={write_npy('v.npy', [6, 2], range(12))}", "-q")
    write_npy("v.npy", [6, 2], [*range(11), 7])
    _, err = demist("resume", path("c"), "train.steps=6", code=2)
    assert "the same examples, but other conditions" in err and "--data-changed" in err, err
    write_npy("v.npy", [6, 2], range(12))
    demist("resume", path("c"), "train.steps=5", "-q")
    # A checkpoint of before has three parts, which say nothing of conditions.
    file = path("c/checkpoints/step-00000005.safetensors")
    assert len(read_safetensors(file)[1]["data.fingerprint"].split()) == 4


def a_run_of_before_gets_a_fingerprint():
    """Of a checkpoint without one: one line, and the next has it."""
    pictures("old")
    demist("train", experiment("old", "before"), "-q")
    file = path("before/checkpoints/step-00000004.safetensors")
    data = open(file, "rb").read()
    # A name of the same length, and no checksum that tells.
    assert data.count(b'"data.fingerprint"') == 1
    open(file, "wb").write(data.replace(b'"data.fingerprint"', b'"data.fingerprimt"').replace(b'"crc32"', b'"crc33"'))
    _, err = demist("resume", path("before"), "train.steps=6")
    assert err.count("has no record of the data it was trained on") == 1, err
    assert read_safetensors(path("before/checkpoints/step-00000006.safetensors"))[1]["data.fingerprint"].startswith("6 ")


def held_out_data_too():
    pictures("train_part")
    pictures("test_part", 4, first=9)
    file = experiment("train_part", "held", ", validate_every: 2", f", test_folder: {path('test_part')}")
    demist("train", file, "-q")
    pictures("test_part", 6, first=9)
    _, err = demist("resume", path("held"), "train.steps=6", code=2)
    assert "held-out" in err and "6 examples, where it had 4" in err, err
    _, err = demist("eval", path("held"), "--metric", "loss")
    assert "test split differs from that of training" in err, err
    assert "warning" in demist("resume", path("held"), "train.steps=6", "--data-changed")[1]


def npy(file, values):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2), }" % (len(values) // 2)
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    open(file, "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(values)}f", *values))


def another_array_is_refused():
    npy(path("a.npy"), [k / 100 for k in range(200)])
    args = moons("array", "data.use=npy", f"data.file={path('a.npy')}", "train.decay=constant")
    demist("train", *args, "train.steps=4", "-q")
    demist("train", *args, "train.steps=6", "--resume", "-q")
    npy(path("a.npy"), [k / 101 for k in range(200)])
    assert "other contents" in demist("train", *args, "train.steps=8", "--resume", code=2)[1]
    assert "is for --resume" in demist("train", *args, "--data-changed", code=2)[1]


def the_rate_of_a_decay_does_not_jump():
    for decay in ("cosine", "linear"):
        args = moons("decay", "train.warmup=2", f"train.decay={decay}", "--overwrite")
        demist("train", *args, "train.steps=20", "-q")
        _, err = demist("resume", path("decay"), "train.steps=40", code=2)
        assert f"train.steps is 40 and was 20: with train.decay: {decay}" in err and "train.from" in err, err
        demist("resume", path("decay"), "-q")
    # Warming up, nothing depends on it yet; a constant rate never does.
    for more in (["train.warmup=30", "train.steps=20"], ["train.decay=constant", "train.steps=20"]):
        demist("train", *moons("decay", *more, "--overwrite"), "-q")
        demist("resume", path("decay"), "train.steps=40", "-q")


def a_warmup_that_never_ends_is_said():
    _, err = demist("check", *moons("warm", "train.warmup=50", "train.steps=50"))
    assert "train.warmup is 50 and train.steps is 50" in err, err
    assert "train.warmup" not in demist("check", *moons("warm", "train.warmup=49", "train.steps=50"))[1]


def eps_at_no_signal_is_said():
    """cosine leaves sigma / alpha = 20291 at T, linear 157."""
    bad = moons("eps", "schedule.use=cosine", "sampler.steps=0", "train.steps=2")
    _, err = demist("check", *bad)
    assert "sigma / alpha is 2.03e+04" in err or "sigma / alpha is 2.029e+04" in err, err
    assert "sampler.clip" in err and "objective.predict: v" in err, err
    for good in (["schedule.use=linear"], ["objective.predict=v"], ["sampler.clip=3"], ["sampler.clip=dynamic"],
                 ["sampler.steps=10", "sampler.spacing=leading"]):
        assert "sigma / alpha" not in demist("check", *bad, *good)[1], good
    demist("train", *bad, "-q")
    assert "sigma / alpha" in demist("sample", path("eps"), "--out", path("e.png"))[1]
    assert "sigma / alpha" not in demist("sample", path("eps"), "sampler.clip=3", "--out", path("e2.png"))[1]


run_tests([other_images_are_refused, changed_data_are_taken_when_said, other_conditions_are_refused, a_run_of_before_gets_a_fingerprint, held_out_data_too,
           another_array_is_refused, the_rate_of_a_decay_does_not_jump, a_warmup_that_never_ends_is_said, eps_at_no_signal_is_said])
