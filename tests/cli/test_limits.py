#!/usr/bin/env python3
"""Signals that come twice, outputs that are full, numbers of files that wrap, checkpoints that are passed over."""
import os
import shutil
import signal
import struct
import subprocess
import time
import zlib

from cli import DEMIST, DEVICE, SOURCE, demist, log_lines, moons, path, read_safetensors, run_tests, write_safetensors


def trained():
    run = path("run")
    if not os.path.exists(run):
        demist("train", *moons(run, "train.steps=40", "train.save_every=20"), "-q")
    return run


# As `timeout` does it: to the child, and to its group.
def a_signal_counted_twice():
    p = subprocess.Popen([DEMIST, "train", *moons(path("twice"), "train.steps=1000000", "train.save_every=0")], stderr=subprocess.PIPE,
                         text=True)
    deadline = time.time() + 60
    while not os.path.exists(path("twice/log.jsonl")) or not os.path.getsize(path("twice/log.jsonl")):
        assert p.poll() is None and time.time() < deadline
        time.sleep(0.05)
    for _ in range(3):
        p.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 75 and "a checkpoint is saved" in err, (p.returncode, err)
    assert len(os.listdir(path("twice/checkpoints"))) == 1


def zip_of(file, n, image, zeros):
    """So many entries, each an image that is followed by zeros."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeeze.compress(image + bytes(zeros)) + squeeze.flush()
    head = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, zlib.crc32(image + bytes(zeros)), len(packed), len(image) + zeros, len("000.png"), 0)
    body, directory = b"", b""
    for k in range(n):
        name = b"%03d.png" % k
        directory += b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + head + name + packed
    open(file, "wb").write(body + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, n, n, len(directory), len(body), 0))


# Minutes of work before the first step, in a plugin that goes on: there is nothing to save.
def a_signal_while_data_is_opened():
    zip_of(path("slow.zip"), 1000, open(os.path.join(SOURCE, "tests/unit/data/images/rgb.png"), "rb").read(), 12 << 20)
    demist("init", path("slow.yaml"), "--template", "small")
    data = [f"data.folder={path('slow.zip')}", "data.size=4", f"device={DEVICE}"]
    for command in (["train", path("slow.yaml"), f"output={path('slow')}"],
                    ["sweep", path("slow.yaml"), "--over", "train.lr=1e-3,2e-3", "--metric", "loss", "--out", path("cells")]):
        p = subprocess.Popen([DEMIST, *command, *data], stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 60
        while not any(os.path.realpath(f"/proc/{p.pid}/fd/{f}") == path("slow.zip") for f in os.listdir(f"/proc/{p.pid}/fd")):
            assert p.poll() is None and time.time() < deadline
            time.sleep(0.02)
        since = time.time()
        p.send_signal(signal.SIGTERM)
        _, err = p.communicate(timeout=60)
        assert p.returncode == 75 and time.time() - since < 5, (command, p.returncode, time.time() - since, err)
        assert "stopped while the data was being opened" in err, err


def a_full_standard_output():
    for args in (["--help"], ["--version"], ["help"], ["train", "--version"], ["plugins", "sampler/ddim"], ["docs", "--man"]):
        with open("/dev/full", "w") as full:
            p = subprocess.run([DEMIST, *args], stdout=full, stderr=subprocess.PIPE, text=True)
        assert p.returncode == 1 and "standard output" in p.stderr, (args, p.returncode, p.stderr)


def a_report_that_lacks_a_part():
    _, err = demist("report", trained(), "sampler.step=10", code=2)
    assert "sampler.step" in err, err
    assert os.path.exists(os.path.join(trained(), "report.html"))


# Written by something else than demist: without the checksum.
def with_meta(name, **more):
    run = path(name)
    shutil.copytree(trained(), run)
    file = os.path.join(run, "checkpoints/step-00000040.safetensors")
    tensors, meta = read_safetensors(file)
    del meta["crc32"]
    write_safetensors(file, tensors, {**meta, **more})
    return run


def numbers_that_wrap():
    for i, more in enumerate(({"step": str(10**18)}, {"step": str(2**63 - 1)}, {"loss_steps": str(2**62)}, {"loss_steps": "-1"})):
        _, err = demist("resume", with_meta(f"wrap{i}", **more), "train.steps=50", code=5)
        assert "step" in err, err
    for i, shape in enumerate(("16777216,16777216,16777216", "16777216,16777216")):
        demist("sample", with_meta(f"shape{i}", **{"data.shape": shape}), "--out", path("x.png"), code=5)


# What was passed over may be whole after all: it stays until its step comes again.
def newer_checkpoints_stay():
    run = path("newer")
    shutil.copytree(trained(), run)
    newest = os.path.join(run, "checkpoints/step-00000040.safetensors")
    data = bytearray(open(newest, "rb").read())
    data[-1] ^= 1
    open(newest, "wb").write(data)
    _, err = demist("resume", run, "train.steps=35", "train.keep=1", "train.save_every=5")
    assert "damaged" in err, err
    assert sorted(os.listdir(os.path.join(run, "checkpoints"))) == ["step-00000035.safetensors", "step-00000040.safetensors"]
    assert open(newest, "rb").read() == data


# Whole, and not what its name says: neither gone on from, nor passed over for an older one.
def a_checkpoint_of_another_name():
    run = path("renamed")
    shutil.copytree(trained(), run)
    checkpoints = lambda: sorted(os.listdir(os.path.join(run, "checkpoints")))
    os.rename(os.path.join(run, "checkpoints/step-00000040.safetensors"), os.path.join(run, "checkpoints/step-00000060.safetensors"))
    there = checkpoints()
    for args in ["resume", run, "train.steps=80"], ["sample", run, "--tensors", path("renamed.st")], ["info", run]:
        _, err = demist(*args, code=5)
        assert "step-00000060.safetensors' holds step 40" in err and "rename it back" in err, err
        assert checkpoints() == there
    os.rename(os.path.join(run, "checkpoints/step-00000060.safetensors"), os.path.join(run, "checkpoints/step-00000040.safetensors"))
    demist("resume", run, "train.steps=45", "-q")


# The first line of a life counts what was done in it, not the steps of the life before.
def speed_after_resuming():
    run = path("speed")
    rates = lambda: [line["images_per_s"] for line in log_lines(run) if line["step"] == 2000]
    demist("train", *moons(run, "train.log_every=2000", "train.save_every=1900", "train.steps=2000"), "-q")
    whole = rates()[-1]
    os.remove(os.path.join(run, "checkpoints/step-00002000.safetensors"))
    demist("resume", run, "-q")
    assert rates()[-1] < 4 * whole, (rates(), whole)


def limits_that_single_precision_rounds_to_none():
    """A limit so small that it is 0 as a float is a limit still, or refused; 0 itself is none."""
    last = {}
    for clip in "0", "1e-30", "1e-300":
        demist("train", *moons(path("clip"), "train.steps=5", "train.warmup=0", f"train.clip={clip}"), "--overwrite", "-q")
        last[clip] = log_lines(path("clip"))[-1]["loss"]
    assert last["1e-300"] == last["1e-30"] != last["0"], last
    err = demist("sample", trained(), "--count", 1, "sampler.clip=1e-300", "--out", path("clip.png"), code=2)[1]
    assert "sampler.clip is '1e-300'" in err and not os.path.exists(path("clip.png")), err


run_tests([a_signal_counted_twice, a_signal_while_data_is_opened, a_full_standard_output, a_report_that_lacks_a_part, numbers_that_wrap, newer_checkpoints_stay, a_checkpoint_of_another_name,
           speed_after_resuming, limits_that_single_precision_rounds_to_none])
