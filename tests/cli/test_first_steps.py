"""What spares a user a look into the manual: names that are found, experiments made of models, faults that say what differs."""
import os
import re
import time

from cli import DEVICE, SOURCE, config, demist, moons, path, run_tests

MODEL = os.path.join(SOURCE, "tests/parity/data/diffusers/plain")


def trained(name, *more):
    if not os.path.exists(path(name)):
        demist("train", *moons(name, "train.steps=2", *more), "-q")
    return path(name)


def keys_before_tensors():
    """Weights of another network: the keys that differ, then the tensors, then both in one line."""
    run = trained("narrow")
    for command in "check", "train":
        err = demist(command, *moons("wide", f"train.from={run}", "network.width=48", "network.depth=3"), code=5)[1]
        at = [err.index(x) for x in ("network.width is 48; it was 32", "network.depth is 3; it was 2", "tensor 'ema.0.in.weight'",
                                     "train.from: network.width is 48, not 32; network.depth is 3, not 2; ")]
        assert at == sorted(at), err


def colours():
    shouting = {"TERM": "xterm"}
    for args in (["sample", path("none"), "--out", path("a.png")], ["check", path("none.yaml")], ["eval", "--metric", "loss"]):
        assert "\033" not in demist(*args, code=None, env=shouting)[1], args
        assert "\033" not in demist(*args, "--color", "never", code=None, env=shouting)[1], args
        assert "demist: \033[1;31merror:\033[0m" in demist(*args, "--color", "always", code=None, env={"NO_COLOR": "1"})[1], args
    err = demist("check", *moons("x"), "train.lr=-1", "--color=always", code=2)[1]
    assert re.search(r"argument \d+: \033\[1;31merror:\033\[0m train.lr", err), err
    err = demist("train", *moons("warm", "train.steps=2", "train.warmup=9"), "--color", "always")[1]
    assert "\033[1;33mwarning:\033[0m train.warmup" in err, err


def the_newest_run():
    """resume without a name, or with a folder of runs: the run that was written last, which is said."""
    older, newer = trained("home/runs/older"), trained("home/runs/newer")
    os.makedirs(path("home/runs/none"), exist_ok=True)
    os.utime(os.path.join(older, "log.jsonl"), (time.time() - 9, time.time() - 9))
    err = demist("resume", "train.steps=3", cwd=path("home"))[1]
    assert "resuming runs/newer, the newest run in runs" in err, err
    assert os.path.exists(os.path.join(newer, "checkpoints/step-00000003.safetensors"))
    os.utime(os.path.join(newer, "log.jsonl"), (time.time() - 99, time.time() - 99))
    err = demist("resume", path("home/runs"), "train.steps=3")[1]
    assert f"resuming {older}, the newest run in" in err, err
    assert "there is no run in 'runs'; give one" in demist("resume", cwd=path("home/runs"), code=2)[1]
    assert "the newest run in" not in demist("resume", older, "train.steps=4")[1]
    demist("resume", path("home/runs/none"), code=2)
    # Not from the beginning in another folder; not a checkpoint, behind which others may be.
    err = demist("resume", older, f"output={path('elsewhere')}", "train.steps=5", code=2)[1]
    assert "resumes in its own folder" in err and not os.path.exists(path("elsewhere")), err
    assert "is a file; give the run's folder" in demist("resume", os.path.join(older, "checkpoints/step-00000002.safetensors"), code=2)[1]


def what_a_folder_is():
    """check of a run, of a checkpoint and of another program's folder; an experiment made of each trains."""
    run = trained("narrow")
    out = demist("check", run)[0]
    assert re.search(r"# time: about [0-9.]+ (s|min) for \d+ steps: \S+ s a step, measured on \d+\n", out), out
    # The room for checkpoints is what they take.
    count, size = re.search(r"# disk: at most [0-9.]+ [kM]B: (\d+) checkpoints? of ([0-9.]+) kB, the log; free: ", out).groups()
    saved = [os.path.getsize(os.path.join(run, "checkpoints", f)) for f in os.listdir(os.path.join(run, "checkpoints"))]
    assert saved and all(0.9 * s < 1000 * float(size) < 1.1 * s + 20000 for s in saved), (size, saved)
    assert "# parameters: " in out and "# training step" in out and "width: 32" in out, out
    for model in MODEL, os.path.join(run, "checkpoints/step-00000002.safetensors"):
        out = demist("check", model, f"device={DEVICE}")[0]
        assert "# parameters: " in out and "# network: " in out and "# training step" not in out, out
        assert "is a model, with no data" in demist("check", model, "--data", code=2)[1]
    assert "has no checkpoint" in demist("check", path(), code=2)[1]
    demist("init", path("again.yaml"), "--from", run)
    text = open(path("again.yaml")).read()
    assert "name: again" in text and "width: 32" in text and "output:" not in text and run in text.splitlines()[0], text
    demist("train", path("again.yaml"), f"output={path('again')}", f"train.from={run}", "-q")
    demist("init", path("again.yaml"), "--from", run, code=2)
    demist("init", path("other.yaml"), "images", "--from", run, code=2)
    demist("init", path("photos.yaml"), "--from", MODEL)
    text = open(path("photos.yaml")).read()
    assert "use: unet" in text and "use: image_folder" in text and "name: photos" in text, text


if __name__ == "__main__":
    run_tests([keys_before_tensors, colours, the_newest_run, what_a_folder_is])
