#!/usr/bin/env python3
"""A run folder that somebody else may have written to: no link in it is followed, and no FIFO waited for."""
import os
import shutil

from cli import demist, moons, path, run_tests

# What lies in a run folder.
NAMES = ["lock", "resolved.yaml", "env.json", "choices.json", "log.jsonl", "log.txt", "report.html", "tb/events.out.tfevents.0.demist",
         "checkpoints/step-00000010.safetensors", "checkpoints/best.safetensors", "samples/step-00000010.png", "plots/loss.png",
         "eval/loss.json"]
ALL = os.environ.get("DEMIST_FOLDERS") == "all"  # minutes: in tools/test --all
FOLDERS = ["checkpoints", "samples", "plots", "tb", "eval"]


def trained():
    run = path("run")
    if not os.path.exists(run):
        demist("train", *moons(run, "train.steps=10", "train.sample_every=5", "train.save_every=5"))
        os.makedirs(os.path.join(run, "eval"))
    return run


def copy(name):
    """A copy of the run, and where `name` lies in it, with nothing there."""
    run = path("copy")
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(trained(), run)
    at = os.path.join(run, name)
    if os.path.isdir(at):
        shutil.rmtree(at)
    elif os.path.exists(at):
        os.remove(at)
    return run, at


# What writes to a run folder or reads it, and all that it writes.
def commands(run):
    yield ["resume", run, "train.steps=12", "--quiet"]
    yield ["plot", run]
    yield ["report", run, "--no-samples"]
    yield ["runs", run]
    yield ["compare", run, trained(), "--no-samples", "--out", path("compared.html"), "--force"]
    if ALL:
        yield from reading(run)
    yield ["train", *moons(run, "train.steps=2"), "--overwrite", "--quiet"]


def reading(run):
    yield ["sample", run, "--count", "2", "--out", path("s.png"), "--force", "--quiet"]
    yield ["eval", run, "--metric", "loss", "--count", "8", "--quiet"]
    yield ["inspect", os.path.join(run, "checkpoints/step-00000010.safetensors")]
    yield ["export", run, "--to", "diffusers", path("exported"), "--force"]


def links_are_not_followed():
    for name in NAMES:
        run, at = copy(name)
        old = os.path.join(trained(), name)
        mine = path("mine")
        content = open(old, "rb").read() if os.path.exists(old) else b"mine\n"
        with open(mine, "wb") as f:
            f.write(content)
        os.symlink(mine, at)
        for command in commands(run):
            demist(*command, code=None, timeout=120)
            assert open(mine, "rb").read() == content, f"{command[0]} wrote through {name}"


def folders_are_no_links():
    for name in FOLDERS:
        run, at = copy(name)
        mine = path("mine.d")
        shutil.rmtree(mine, ignore_errors=True)
        old = os.path.join(trained(), name)
        shutil.copytree(old, mine)
        before = {f: open(os.path.join(mine, f), "rb").read() for f in os.listdir(mine)}
        os.symlink(mine, at)
        for command in commands(run):
            demist(*command, code=None, timeout=120)
            assert {f: open(os.path.join(mine, f), "rb").read() for f in os.listdir(mine)} == before, f"{command[0]} wrote through {name}"


def of(kind, at):
    """Puts in place of a name: a link to nothing outside, a folder, a file where a folder is wanted."""
    if kind == "dangling":
        os.symlink(path("outside", "new"), at)
    elif kind == "folder":
        os.makedirs(at)
    else:
        open(at, "w").close()


# Each name as a link to nothing, a folder or a file: nothing comes to be outside, and each error has its reason.
def nothing_comes_to_be_outside():
    os.makedirs(path("outside"))
    for kind in ("dangling", "folder", "file") if ALL else ("dangling",):
        for name in NAMES + FOLDERS:
            if kind == ("folder" if name in FOLDERS else "file"):
                continue
            run, at = copy(name)
            of(kind, at)
            for command in commands(run):
                _, err = demist(*command, code=None, timeout=60)
                assert not os.listdir(path("outside")), f"{command[0]} wrote through {name}"
                assert "crashed" not in err, f"{command[0]} with {name} as {kind}: {err}"


def hard_links_are_not_written_to():
    for name in ["lock", "log.txt"]:
        run, at = copy(name)
        mine = path("mine.hard")
        with open(mine, "wb") as f:
            f.write(b"mine\n")
        os.link(mine, at)
        _, err = demist("resume", run, "train.steps=12", code=2)
        assert "hard link" in err, err
        assert open(mine, "rb").read() == b"mine\n"
        os.remove(mine)


def nothing_waits_for_a_fifo():
    for name in NAMES:
        run, at = copy(name)
        os.mkfifo(at)
        for command in commands(run):
            demist(*command, code=None, timeout=60)


def a_link_is_named():
    run, at = copy("log.txt")
    os.symlink(path("mine"), at)
    _, err = demist("resume", run, "train.steps=12", code=2)
    assert f"'{at}' is a symbolic link" in err, err
    run, at = copy("log.jsonl")
    os.mkfifo(at)
    _, err = demist("plot", run, code=2)
    assert f"'{at}': not a regular file" in err, err


run_tests([links_are_not_followed, nothing_comes_to_be_outside, folders_are_no_links, hard_links_are_not_written_to, nothing_waits_for_a_fifo, a_link_is_named])
