#!/usr/bin/env python3
"""Several runs: their list, their curves over one another, one page of all; text from outside stays text."""
import base64
import fcntl
import html.parser
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

from cli import DEMIST, demist, moons, path, run_tests

EVIL = "<b>`touch PWNED`\x1b[31m\u202e$(x)"


def trained():
    for name, *more in (("runs/a", "train.validate_every=5"), ("runs/b", "train.lr=1e-2", "schedule.use=cosine")):
        if not os.path.exists(path(name)):
            demist("train", *moons(name, "data.limit=500", "train.steps=10", "train.log_every=1", *more), "-q")


def listed(folder="runs"):
    return {os.path.relpath(r["run"], path(folder)): r for r in json.loads(demist("runs", path(folder), "--json")[0])}


def every_state():
    trained()
    os.makedirs(path("runs/deep/er"))
    shutil.copytree(path("runs/b"), path("runs/deep/er/stopped"))
    config = path("runs/deep/er/stopped/resolved.yaml")
    text = open(config).read()
    assert "steps: 10\n" in text
    open(config, "w").write(text.replace("steps: 10\n", "steps: 3000\n"))
    shutil.copytree(path("runs/a"), path("runs/empty"))
    shutil.rmtree(path("runs/empty/checkpoints"))
    shutil.copytree(path("runs/a"), path("runs/torn"))
    with open(path("runs/torn/log.jsonl"), "a") as f:
        f.write('{"step": 11, "loss": null}\n{"step": 12, "lo')
    got = listed()
    assert {k: (r["state"], r["step"], r["steps"]) for k, r in got.items()} == {
        "a": ("done", 10, 10), "b": ("done", 10, 10), "deep/er/stopped": ("stopped", 10, 3000), "empty": ("empty", 0, 10), "torn": ("done", 10, 10)}, got
    log = [json.loads(x) for x in open(path("runs/a/log.jsonl"))]
    last = [x["loss"] for x in log if x.get("loss") is not None][-1]
    assert abs(got["a"]["loss"] - last) < 1e-6 and got["torn"]["loss"] == got["a"]["loss"], (got["a"], last)
    assert got["a"]["held_out_loss"] > 0 and got["b"]["held_out_loss"] is None
    size = int(os.popen(f"du -sB1 --apparent-size {path('runs/a')}").read().split()[0])
    assert 0.5 * size < got["a"]["bytes"] < 2 * size, (got["a"], size)
    # The one that was written last comes first; a run by its own folder is one of a list.
    os.utime(path("runs/b/log.jsonl"), (time.time() - 7300,) * 2)
    table = demist("runs", path("runs"))[0].splitlines()
    assert table[-1].split()[0] == path("runs/b") and " 2 h " in table[-1] and "10/10" in table[-1] and "kB" in table[-1], table
    assert list(listed("runs/a")) == ["."]
    assert "there is no run" in demist("runs", path("runs/deep/er/stopped/plots"))[1]
    demist("runs", path("nowhere"), code=2)


def running():
    trained()
    lock = open(path("runs/a/lock"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert listed()["a"]["state"] == "running"
    with open(path("runs/a/log.jsonl"), "a") as f:
        f.write('{"step": 17, "loss": 0.25}\n')
    assert listed()["a"]["step"] == 17 and listed()["a"]["loss"] == 0.25
    lock.close()
    assert listed()["a"]["state"] == "done"
    # Looking, however often, keeps nobody from training.
    lock = open(path("runs/b/lock"))
    fcntl.flock(lock, fcntl.LOCK_SH)
    pid = os.fork()
    if not pid:
        time.sleep(0.02)
        os._exit(0)
    lock.close()
    demist("resume", path("runs/b"), "train.steps=11", "-q")
    os.waitpid(pid, 0)


def hostile_folders():
    trained()
    top = path("hostile")
    for name in ("fifo", "link", "noise", "huge", "folder"):
        os.makedirs(os.path.join(top, name))
    os.mkfifo(os.path.join(top, "fifo/resolved.yaml"))
    os.symlink(path("runs/a/resolved.yaml"), os.path.join(top, "link/resolved.yaml"))
    open(os.path.join(top, "noise/resolved.yaml"), "wb").write(os.urandom(1 << 16))
    open(os.path.join(top, "huge/resolved.yaml"), "w").write("train:\n  steps: 99999999999999999999999\n")
    os.makedirs(os.path.join(top, "folder/resolved.yaml"))
    good = os.path.join(top, "good")
    shutil.copytree(path("runs/a"), good)
    os.remove(os.path.join(good, "log.jsonl"))
    os.mkfifo(os.path.join(good, "log.jsonl"))
    os.symlink(good, os.path.join(good, "sweep"))
    os.symlink("/", os.path.join(top, "root"))
    os.symlink(path("runs/b"), os.path.join(top, "elsewhere"))
    shutil.copytree(path("runs/b"), os.path.join(top, EVIL))
    shutil.copytree(path("runs/b"), os.path.join(top, "bytes"))
    os.rename(os.path.join(top, "bytes"), os.fsencode(top) + b"/\xff\xfe")
    out, err = demist("runs", top, timeout=20)
    assert "\x1b" not in out + err and "\u202e" not in out + err and "<b>`touch PWNED`?[31m?$(x)" in out, (out, err)
    got = json.loads(demist("runs", top, "--json", timeout=20)[0])
    assert len(got) == 9 and {r["state"] for r in got} == {"unreadable", "done"}, got
    bad = {os.path.basename(r["run"]) for r in got if r["state"] == "unreadable"}
    assert bad == {"fifo", "link", "noise", "huge", "folder", "good"} and all(r["problem"] for r in got if os.path.basename(r["run"]) in bad), got
    # A log that is large and says nothing of use is read at its end alone.
    shutil.rmtree(good)
    shutil.copytree(path("runs/a"), good)
    with open(os.path.join(good, "log.jsonl"), "w") as f:
        f.write('{"step": 1, "loss": 9}\n' + "x" * 300000 + '\n{"step": 2, "loss": 0.5}\n')
        f.truncate(1 << 32)
    began = time.time()
    demist("runs", top)
    assert time.time() - began < 5


def pixels_wide(file):
    return struct.unpack(">II", open(file, "rb").read(24)[16:])


def curves_over_one_another():
    trained()
    demist("plot", path("runs/a"), path("runs/b"), "--out", path("two.png"))
    wide, high = pixels_wide(path("two.png"))
    assert wide == 1120 and high >= 1200, (wide, high)  # five panels: one of them has a held-out loss
    evil = path(EVIL)
    if not os.path.exists(evil):
        shutil.copytree(path("runs/b"), evil)
    demist("plot", path("runs/a"), evil, "--out", path("evil.png"))
    assert not [f for f in os.listdir(path()) if "PWNED" in f and "touch" not in f]
    err = demist("plot", path("runs/a"), path("runs/b"), code=2)[1]
    assert "--out" in err, err
    demist("plot", *[path("runs/a")] * 13, "--out", path("x.png"), code=2)
    assert "no log.jsonl" in demist("plot", path("runs/a"), path("runs"), "--out", path("x.png"), code=2)[1]


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.pictures = set(), "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.pictures += [v for k, v in attrs if k == "src"]
        assert not any(k.startswith("on") or k == "href" for k, _ in attrs), (tag, attrs)

    def handle_data(self, data):
        self.text += data


def compared(*args, code=0):
    err = demist("compare", *args, "--out", path("c.html"), "--force", code=code)[1]
    p = Page(open(path("c.html"), "rb").read().decode())
    assert p.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "tr", "th", "td", "figure", "img", "figcaption"}, p.tags
    assert all(re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/]+=*", s) for s in p.pictures)
    return p, err


def one_page():
    trained()
    demist("eval", path("runs/a"), "--metric", "loss", "--count", "50")
    loss = json.load(open(path("runs/a/eval/loss.json")))["loss"]
    p, _ = compared(path("runs/a"), path("runs/b"), "sampler.steps=4", f"device={moons('x')[2].split('=')[1]}")
    for words in ("schedule.use", "linear", "cosine", "train.lr", "0.003", "0.01", "Keys that differ", f"{loss:.4g}", "steps=4", "held-out loss"):
        assert words in p.text, (words, p.text)
    assert "output" not in p.text and len(p.pictures) >= 2, len(p.pictures)
    # The same run twice, by two names: the same samples to the bit, and no key that differs.
    shutil.rmtree(path("twin"), ignore_errors=True)
    shutil.copytree(path("runs/b"), path("twin"))
    p, _ = compared(path("runs/b"), path("twin"), "--seed", "3", "--count", "4", "sampler.steps=4")
    first, second = (base64.b64decode(s.split(",")[1]) for s in p.pictures[:2])
    assert first == second and "None except the runs" in p.text
    other = compared(path("runs/b"), path("twin"), "--seed", "4", "sampler.steps=4")[0]
    assert base64.b64decode(other.pictures[0].split(",")[1]) != first
    # Two that end alike are called by the whole path; what is text stays text.
    os.makedirs(path("other"), exist_ok=True)
    shutil.rmtree(path("other/b"), ignore_errors=True)
    shutil.copytree(path("runs/b"), path("other/b"))
    env = json.load(open(path("other/b/env.json")))
    json.dump({**env, "device": EVIL}, open(path("other/b/env.json"), "w"))
    config = open(path("other/b/resolved.yaml")).read()
    open(path("other/b/resolved.yaml"), "w").write(config + f"extra: '{EVIL}'\n")
    p, _ = compared(path("runs/b"), path("other/b"), "--no-samples")
    assert path("other/b") in p.text and "<b>`touch PWNED`" in p.text and "extra" in p.text and "b" not in p.tags
    # A part that is damaged is left out, said, and in the exit code; samples that cannot be drawn too.
    open(path("other/b/eval.json"), "w").close()
    os.makedirs(path("other/b/eval"), exist_ok=True)
    open(path("other/b/eval/loss.json"), "w").write("{")
    p, err = compared(path("runs/b"), path("other/b"), "--no-samples", code=5)
    assert "without eval/loss.json" in err and "Keys that differ" in p.text
    p, err = compared(path("runs/b"), path("twin"), "sampler.steps=5000", code=2)
    assert "b: none: " in p.text and "Keys that differ" in p.text
    for args, says in (([path("runs/a")], "1 run is given"), ([path("runs/a"), path("nowhere")], "nowhere"), ([path("runs/a"), path("runs")], "not a run folder"),
                       ([path("runs/a"), path("runs/b"), "--out", path("c.html")], "--force")):
        assert says in demist("compare", *args, code=2)[1], args
    # A run whose name has a '=' is a run and no key.
    shutil.copytree(path("runs/b"), path("lr=1"))
    assert "lr=1" in compared(path("runs/b"), path("lr=1"), "--no-samples")[0].text


def cleared_while_it_trains():
    """Folders of checkpoints and samples that a user removes to have room are made again; training goes on."""
    args = moons("cleared", "train.steps=1000000", "train.save_every=100", "train.sample_every=100", "train.sample_count=1", "sampler.steps=1")
    p = subprocess.Popen([DEMIST, "train", *args, "--progress", "none"], stderr=subprocess.PIPE, text=True, cwd=path())
    folders = [path("cleared", x) for x in ("samples", "checkpoints")]

    def wait_for_both():
        until = time.time() + 300
        while time.time() < until and p.poll() is None and not all(os.path.isdir(f) and os.listdir(f) for f in folders):
            time.sleep(0.05)
        assert p.poll() is None and time.time() < until, p.stderr.read()[-500:]

    wait_for_both()
    for f in folders:
        os.rename(f, f + "-away")
    wait_for_both()
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == 75, p.stderr.read()[-500:]


def what_cannot_be_read_is_passed_over():
    """As processes that end, below /proc, and as what only the kernel reads."""
    _, err = demist("runs", "/proc")
    try:
        os.listdir("/proc/1/map_files")
    except PermissionError:
        assert "'/proc': folders that could not be read were skipped" in err and "; the first: unable to " in err, err
    json.loads(demist("runs", "/proc", "--json")[0])


def files_where_a_run_has_folders():
    trained()
    for name in "checkpoints", "samples", "tb":
        run = path("file-" + name)
        shutil.copytree(path("runs/a"), run)
        shutil.rmtree(os.path.join(run, name))
        open(os.path.join(run, name), "w").close()
        _, err = demist("resume", run, "train.steps=20", code=2)
        assert f"{name}' is not a folder" in err and "move it away" in err, err
    _, err = demist("sample", path("file-checkpoints"), "--tensors", path("t"), code=2)
    assert "checkpoints' is not a folder" in err, err
    out, err = demist("runs", path("file-checkpoints"))
    assert "unreadable" in out and "checkpoints' is not a folder" in err, (out, err)


run_tests([what_cannot_be_read_is_passed_over, files_where_a_run_has_folders, every_state, running, hostile_folders, curves_over_one_another, one_page, cleared_while_it_trains])
