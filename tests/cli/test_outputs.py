"""What a command writes, and when it is stopped: nothing written over unasked, nothing lost, wrong names found before work."""
import os
import random
import re
import signal
import subprocess
import time

from cli import DEMIST, config, demist, moons, path, read_safetensors, run_tests, write_safetensors


def trained():
    demist("train", *moons("run", "train.steps=40", "train.save_every=20", "train.decay=constant"))


def refused(*args, saying):
    began = time.time()
    _, err = demist(*args, code=2)
    assert saying in err, err
    return time.time() - began


def outputs_overwrite_nothing_unasked():
    moons_yaml = config("moons.yaml")
    for args in (["schedule", moons_yaml, "--json"], ["schedule", moons_yaml, "--plot"], ["plot", path("run"), "--out"],
                 ["sample", path("run"), "--out"], ["sample", path("run"), "--tensors"], ["init"]):
        file = path("precious.png")
        open(file, "w").write("mine")
        refused(*args, file, saying="already exists")
        assert open(file).read() == "mine", args
        if args[0] != "init":
            demist(*args, file, "--force")
            assert open(file, "rb").read() != b"mine", args
        os.remove(file)


def what_is_no_run_is_left_alone():
    os.makedirs(path("no-run"))
    for args in (["plot"], ["resume"], ["sample", "--tensors", path("none")], ["eval", "--metric", "accuracy"],
                 ["export", path("no-run/e"), "--to", "diffusers"]):
        _, err = demist(args[0], path("no-run"), *args[1:], code=None)
        assert "error: " in err and os.listdir(path("no-run")) == [], (args, err)
        demist(args[0], path("not-there"), *args[1:], code=None)
        assert not os.path.exists(path("not-there")), args


def folders_are_made():
    demist("schedule", config("moons.yaml"), "--json", path("a/b/s.json"), "--plot", path("a/c/s.png"))
    demist("plot", path("run"), "--out", path("d/e/p.png"))
    demist("init", path("f/g/my.yaml"))
    demist("sample", path("run"), "--count", 2, "sampler.steps=2", "--tensors", path("h/x"), "--out", path("i/x.png"))
    for f in ("a/b/s.json", "a/c/s.png", "d/e/p.png", "f/g/my.yaml", "h/x", "i/x.png"):
        assert os.path.getsize(path(f)) > 0, f


def names_are_checked_first():
    long = ["--count", 100000, "sampler.steps=1000"]
    write_safetensors(path("noise"), {"x": ("F32", [1, 2], b"\0\0\xc0\x7f" + b"\0" * 4)})
    for args, saying in ((["--out", path("x.jpg")], ".png"), (["--out", path("%05d.png")], "points"), (["--out", path("x%d%d.png")], "%05d"),
                         (["--tensors", path("y"), "--trace", path("t.png")], "strip of points"),
                         (["--tensors", path("y"), "--trace", path("t-%d.safetensors")], "one file"),
                         (["--tensors", path("same.png"), "--out", path("q", "..", "same.png")], "two outputs"),
                         (["--tensors", path("noise"), "--noise", path("noise"), "--force"], "both read and written")):
        os.makedirs(path("q"), exist_ok=True)
        assert refused("sample", path("run"), *args, *long, saying=saying) < 5
    for bad in ("z" * 300, "run/resolved.yaml/x"):
        _, err = demist("sample", path("run"), "--tensors", path(bad), *long, code=None)
        assert "error" in err and "images in" not in err, err
    _, err = demist("sample", path("run"), "--tensors", path("y"), "--noise", path("noise"), code=2)
    assert "NaN" in err, err


def a_log_without_checkpoints_is_not_cut():
    demist("train", *moons("gone", "train.steps=40", "train.save_every=10"))
    for f in os.listdir(path("gone/checkpoints")):
        os.remove(path("gone/checkpoints", f))
    log = open(path("gone/log.jsonl")).read()
    refused("resume", path("gone"), "train.steps=60", saying="no checkpoint to resume from")
    assert open(path("gone/log.jsonl")).read() == log


def a_damaged_checkpoint_falls_back():
    demist("train", *moons("bits", "train.steps=40", "train.save_every=20"))
    newest = path("bits/checkpoints/step-00000040.safetensors")
    data = bytearray(open(newest, "rb").read())
    data[-5] ^= 0x40
    open(newest, "wb").write(data)
    _, err = demist("resume", path("bits"))
    assert "CRC-32" in err and "step 20" in err, err
    data[-5] ^= 0x40
    assert read_safetensors(newest)[0].keys()
    assert open(newest, "rb").read() == bytes(data), "a resumed run ends in the same bytes"


def a_resumed_run_says_how_far_it_went():
    demist("resume", path("run"), "train.steps=60")
    assert re.search(r"^  steps: 60$", open(path("run/resolved.yaml")).read(), re.M)
    _, err = demist("resume", path("run"), "train.steps=50")
    assert "are already done" in err, err


def signals_break_no_compilation():
    rng = random.Random(3)
    for i in range(6):
        env = {**os.environ, "POCL_CACHE_DIR": path(f"cache{i}")}
        os.mkdir(path(f"cache{i}"))
        p = subprocess.Popen([DEMIST, "train", *moons(f"stopped{i}", "train.steps=100000")], env=env, stderr=subprocess.PIPE, text=True,
                             start_new_session=True)
        time.sleep(rng.uniform(0.3, 2))
        os.killpg(p.pid, rng.choice([signal.SIGINT, signal.SIGTERM]))
        err = p.communicate(timeout=120)[1]
        assert p.returncode == 75 and "again to stop at once" in err, (p.returncode, err)


def a_closed_pipe_does_not_end_training():
    p = subprocess.Popen([DEMIST, "train", *moons("pipe", "train.steps=300", "train.log_every=1")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stderr.close()
    p.stdout.close()
    assert p.wait(timeout=120) == 0
    assert os.path.exists(path("pipe/checkpoints/step-00000300.safetensors"))


def hints_are_words_of_a_shell():
    out = path("it's a run")
    _, err = demist("train", *moons("x", "train.steps=2"), f'output="{out}"')
    hint = re.search(r"next: +demist (.*)$", err, re.M).group(1)
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {hint}"], capture_output=True, text=True).stdout.split("\n")
    assert words[1] == out, words


run_tests([trained, outputs_overwrite_nothing_unasked, what_is_no_run_is_left_alone, folders_are_made, names_are_checked_first, a_log_without_checkpoints_is_not_cut,
           a_damaged_checkpoint_falls_back, a_resumed_run_says_how_far_it_went, signals_break_no_compilation,
           a_closed_pipe_does_not_end_training, hints_are_words_of_a_shell])
