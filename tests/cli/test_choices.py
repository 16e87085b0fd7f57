"""Choices of implementations as a user meets them: measured when asked for, told by check --explain, kept by a run."""
import json
import os
import re

from cli import demist, moons, path, read_safetensors, run_tests

# The first launch of a process compiles; programs may come from the usual cache, choices not.
CACHE = {"DEMIST_CACHE": path("cache"), "DEMIST_TUNE": "on"}

os.environ.pop("DEMIST_IMPL", None)  # where one is forced nothing is left to be chosen


def choices(run):
    return json.load(open(path(run, "choices.json")))


def explained(*args, env):
    out, err = demist("check", *moons("x", *args), "--explain", env=env)
    return [line for line in out.splitlines() if "MFLOP" in line], err


def explain():
    lines, err = explained(env=CACHE)
    assert any("measured: " in line and " ms" in line for line in lines), lines
    assert "measuring implementations" in err, err
    again, err = explained(env={**CACHE, "DEMIST_TUNE": "auto"})
    assert "measuring" not in err and again == lines, (err, again)  # the times too: they are the cache's
    lines, err = explained(env={**CACHE, "DEMIST_TUNE": "off"})
    assert not any("measured: " in line for line in lines) and any("by rule" in line for line in lines), lines
    lines, err = explained("deterministic=true", env=CACHE)
    assert not any("measured: " in line for line in lines), lines
    lines, err = explained("matmul_precision=highest", env=CACHE)
    assert not any(name in line for line in lines for name in ("bf16x3", "winograd")), lines
    lines, err = explained(env={**CACHE, "DEMIST_IMPL": "portable"})
    assert any("forced" in line for line in lines), lines
    for wrong in "portabel", "conv2d=portabel", "conv=portable", "=portable", "portable,x":  # not taken as if nothing were said
        _, err = demist("check", *moons("x"), code=2, env={"DEMIST_IMPL": wrong})
        assert "DEMIST_IMPL" in err and "there is no '" + wrong.split(",")[-1] in err and "devices --implementations" in err, err
    demist("check", *moons("x"), env={"DEMIST_IMPL": "portable,"})
    _, err = demist("check", *moons("x"), code=2, env={"DEMIST_TUNE": "always"})
    assert "DEMIST_TUNE is 'always'" in err, err


def a_short_run_measures_nothing():
    _, err = demist("train", *moons("short", "train.steps=2"), env={"DEMIST_CACHE": path("empty"), "DEMIST_TUNE": "auto"})
    assert "measuring" not in err, err


def a_run_keeps_its_choices():
    demist("train", *moons("kept", "train.steps=10", "train.save_every=5", "train.keep=2"), "-q", env=CACHE)
    kept = choices("kept")["implementations"]
    # The held-out loss, of another batch here, decides which checkpoint is the best: its choices are kept too.
    demist("train", *moons("held", "train.steps=2", "train.validate_every=1", "train.validate_count=20"), "-q", env=CACHE)
    assert set(choices("held")["implementations"]) > set(kept), choices("held")
    assert kept and all(isinstance(name, str) for name in kept.values()), kept
    # Another process, without measurements: the same bits, since it makes the same choices.
    demist("train", *moons("cut", "train.steps=5"), "-q", env=CACHE)
    demist("train", *moons("cut", "train.steps=10"), "--resume", "-q", env={"DEMIST_CACHE": path("other"), "DEMIST_TUNE": "off"})
    last = os.path.join("checkpoints", "step-00000010.safetensors")
    assert read_safetensors(path("kept", last))[0] == read_safetensors(path("cut", last))[0]
    assert choices("cut")["implementations"] == kept
    # What the file says is what runs.
    c = choices("cut")
    c["implementations"] = {op: "portable" for op in kept}
    json.dump(c, open(path("cut", "choices.json"), "w"))
    _, err = demist("train", *moons("cut", "train.steps=12"), "--resume", "--profile", env=CACHE)
    assert "matmul/portable" in err and "matmul/vec16" not in err and "matmul/clblast" not in err, err
    c["implementations"] = [1]
    json.dump(c, open(path("cut", "choices.json"), "w"))
    _, err = demist("train", *moons("cut", "train.steps=14"), "--resume", code=5)
    assert "choices.json" in err and "implementations" in err, err


def calls(err):
    return next(int(re.search(r"(\d+) kernel calls", line)[1]) for line in err.splitlines() if "kernel calls" in line)


# The same bits with and without; a run that goes on does as it began, whatever is asked for.
def a_run_keeps_what_it_computes_again():
    large = ("train.batch=2048", "network.width=64")
    last = os.path.join("checkpoints", "step-00000004.safetensors")
    _, again = demist("train", *moons("again", *large, "train.steps=4"), env=CACHE | {"DEMIST_TUNE": "off"})
    demist("train", *moons("not", *large, "train.steps=2", "train.recompute=false"), "-q", env=CACHE | {"DEMIST_TUNE": "off"})
    _, without = demist("train", *moons("not", *large, "train.steps=4"), "--resume", env=CACHE | {"DEMIST_TUNE": "off"})
    assert calls(without) < calls(again), (without, again)
    assert (choices("again")["recompute"], choices("not")["recompute"]) == (True, False)
    assert read_safetensors(path("again", last))[0] == read_safetensors(path("not", last))[0]


run_tests([explain, a_short_run_measures_nothing, a_run_keeps_its_choices, a_run_keeps_what_it_computes_again])
