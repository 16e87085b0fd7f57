"""Sweeps: which cells there are, what they say, and that one which was interrupted goes on to the same table."""
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

from cli import DEMIST, WORK, demist, moons, path, run_tests

QUALITY = ("--metric", "quality", "--features", path("base"), "--count", "100")
SAMPLERS = ("--over", "sampler.steps=2,4,8", "--over", "sampler.use=ddpm,ddim", "--over", "sampler.eta=0,1")


def base(*more):
    return moons("base", "data.limit=500", "train.steps=40", *more)


def rows(folder):
    return list(csv.DictReader(open(path(folder, "sweep.csv"), newline="")))


# All of a row but what depends on the clock.
def timeless(folder):
    return [{k: v for k, v in r.items() if not k.startswith("seconds")} for r in rows(folder)]


def cells_are_what_the_plugins_take():
    out = demist("sweep", *base(), *SAMPLERS, "--dry-run")[0].splitlines()
    assert len(out) == 9 and out[0] == "sampler.steps=2 sampler.use=ddpm", out
    assert out[1:3] == ["sampler.steps=2 sampler.use=ddim sampler.eta=0", "sampler.steps=2 sampler.use=ddim sampler.eta=1"], out
    out = demist("sweep", *base(), "--over", "sampler.steps=5,2000", "--over", "schedule.use=linear,nothing", "--dry-run")[0].splitlines()
    assert "2000 is more than the schedule's 1000" in out[2] and "no schedule 'nothing'" in out[1], out
    out = demist("sweep", *base(), "--over", "sampler={use: ddpm},{use: ddim, eta: 0.5}", "--over", "sampler.at=[9, 1],[5]", "--dry-run")[0]
    assert out.splitlines() == [f"sampler={s} sampler.at={a}" for s in ("{use: ddpm}", "{use: ddim, eta: 0.5}") for a in ("[9, 1]", "[5]")], out
    assert not os.path.exists(path("base")), "a dry run did something"


def a_grid_from_one_checkpoint():
    demist("train", *base())
    out, err = demist("sweep", *base(), *SAMPLERS, "--over", "seed=1", *QUALITY, "--out", path("seeds"))
    assert len(os.listdir(path("seeds/runs"))) == 1, "a seed is a training run of its own"
    demist("sweep", *base(), "--over", "grid.use=uniform,karras", *QUALITY, "--out", path("grids"))
    assert not os.path.exists(path("grids/runs")), "where steps lie trained a run of its own"
    demist("sweep", *base(), "--over", "guidance.use=none", *QUALITY, "--out", path("guided"))
    assert not os.path.exists(path("guided/runs")), "guidance trained a run of its own"
    out, err = demist("sweep", path("base"), *SAMPLERS, *QUALITY)
    got = rows("base/sweep")
    assert len(got) == 9 and all(r["state"] == "done" and r["step"] == "40" for r in got), got
    assert out.count("\n") == 2 + 9 + 2 and "| floor |" in out and out == open(path("base/sweep/sweep.md")).read(), out
    for r in (got[0], got[4]):  # the same as by hand
        more = [f"sampler.eta={r['sampler.eta']}"] if r["sampler.eta"] else []
        demist("eval", path("base"), *QUALITY, f"sampler.steps={r['sampler.steps']}", f"sampler.use={r['sampler.use']}", *more,
               "--json", path("by-hand.json"), "--force")
        want = json.load(open(path("by-hand.json")))["samples"]
        for k in ("frechet", "kid", "precision", "recall"):
            assert abs(float(r[k]) - want[k]) < 1e-6 * (1 + abs(want[k])), (k, r, want)
    # The experiment's file gives the same cells: its output folder is the run, and nothing is trained or measured again.
    cells = sorted(os.listdir(path("base/sweep/cells")))
    out, err = demist("sweep", *base(), *SAMPLERS, *QUALITY)
    assert err.count("measured before") == 9 and sorted(os.listdir(path("base/sweep/cells"))) == cells, err
    # More steps of an axis cost only what is new; other keys would write over its tables.
    err = demist("sweep", path("base"), "--over", "sampler.steps=2,3", *SAMPLERS[2:], *QUALITY)[1]
    assert err.count("measured before") == 3 and len(rows("base/sweep")) == 6, err
    err = demist("sweep", path("base"), "--over", "sampler.steps=2,3", *QUALITY, code=2)[1]
    assert "other keys" in err and "--out" in err, err
    assert json.load(open(path("base/eval/quality.json")))["samples"]["count"] == 100


def killed_and_resumed():
    demist("sweep", path("base"), *SAMPLERS, *QUALITY, "--out", path("whole"))
    for sig, code in ((signal.SIGKILL, -9), (signal.SIGINT, 75)):
        folder = path("cut" + str(code))
        p = subprocess.Popen([DEMIST, "sweep", path("base"), *SAMPLERS, *QUALITY, "--out", folder], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=WORK)
        while p.poll() is None and len([f for f in os.listdir(folder + "/cells") if f.endswith(".json")] if os.path.isdir(folder + "/cells") else []) < 3:
            time.sleep(0.005)
        p.send_signal(sig)
        err = p.communicate(timeout=60)[1]
        assert p.returncode == code, (p.returncode, err)
        done = len([f for f in os.listdir(folder + "/cells") if f.endswith(".json")])
        assert 3 <= done < 9, done
        # A result that is broken is measured anew.
        cell = sorted(f for f in os.listdir(folder + "/cells") if f.endswith(".json"))[0]
        open(os.path.join(folder, "cells", cell), "w").write('{"report": {"samples": []}, "seconds": "x", "step": 1e999')
        err = demist("sweep", path("base"), *SAMPLERS, *QUALITY, "--out", folder)[1]
        assert err.count("measured before") == done - 1, (done, err)
        assert timeless(folder) == timeless("whole"), folder


def training_keys_train():
    args = (*moons("grid", "data.limit=500", "train.steps=30"), "--over", "train.lr=1e-3,1e-2,1e9", "--over", "sampler.steps=2,4", *QUALITY)
    out, err = demist("sweep", *args)
    got = rows("grid/sweep")
    assert [r["state"] for r in got] == ["done"] * 4 + ["refused"] * 2 and "10" in got[4]["reason"], got
    runs = os.listdir(path("grid/sweep/runs"))
    assert sorted(runs) == ["lr=1e-2", "lr=1e-3"], runs
    assert len(runs) == 2 and got[0]["frechet"] != got[2]["frechet"], (runs, got)
    for run in runs:
        assert os.listdir(path("grid/sweep/runs", run, "checkpoints")) == ["step-00000030.safetensors"]
    times = {r: os.stat(path("grid/sweep/runs", r, "log.jsonl")).st_mtime_ns for r in runs}
    shutil.rmtree(path("grid/sweep/cells"))
    demist("sweep", *args)
    assert {r: os.stat(path("grid/sweep/runs", r, "log.jsonl")).st_mtime_ns for r in runs} == times, "trained again"
    # Each cell's samples, in one page with the table; the first seed's are the same in each of them.
    pictures = [f for f in os.listdir(path("grid/sweep/cells")) if f.endswith("-16.png")]
    page = open(path("grid/sweep/sweep.html")).read()
    assert len(pictures) == 4 and page.count("<figure>") == 5 and "lr=1e-2, steps=4: frechet" in page, pictures
    err = demist("sweep", *args, "--samples", "0")[1]
    assert "measured before" in err and page.count("<img") > open(path("grid/sweep/sweep.html")).read().count("<img") > 0
    # A run that another experiment began is no run of this one.
    err = demist("sweep", *base("network.width=16"), *SAMPLERS, *QUALITY, "--out", path("other"), code=2)[1]
    assert "network.width" in err, err
    # A sweep of a run that is not trained trains it, once.
    demist("sweep", *moons("fresh", "data.limit=500", "train.steps=20"), "--over", "sampler.steps=2,3", *QUALITY)
    assert os.listdir(path("fresh/checkpoints")) == ["step-00000020.safetensors"] and len(rows("fresh/sweep")) == 2


def guidance_and_the_class_asked_for():
    """Two classes told apart by a classifier: the share that is of the class asked for, a column where there is one."""
    gaussians = ["network={use: exact_gaussians, means: [-0.3, 0.8, 0.3, -0.8], deviations: [0.8, 0.8], weights: [1, 1], classes: true}",
                 "data.labels=true", "data.limit=200"]
    known = moons("kinds", "data.labels=true", "train.steps=300", "train.lr=1e-2", "objective={use: classify}")
    demist("train", *known)
    demist("train", *[a for a in moons("asked", *gaussians, "train.steps=1", "train.drop_condition=0.1") if not re.match("network.(width|depth)", a)])
    q = ("--metric", "quality", "--features", path("kinds"), "--count", "200")
    out = demist("sweep", path("asked"), "--over", "guidance.scale=0,1,4", "guidance.use=cfg", *q, "--samples", "0")[0]
    got = rows("asked/sweep")
    shares = [float(r["class_share"]) for r in got]
    assert "| recall | class_share | seconds |" in out.replace("seconds_per_image", ""), out
    assert abs(shares[0] - 0.5) < 0.15 and shares[0] < shares[1] < shares[2], shares
    demist("eval", path("asked"), *q, "guidance.use=cfg", "guidance.scale=4", "--json", path("four.json"))
    report = json.load(open(path("four.json")))
    assert report["samples"]["class_share"] == shares[2] and [c["count"] for c in report["classes"]] == [100, 100], report
    assert json.load(open(path("asked/sweep/sweep.json")))["figures"][-1] == "class_share"
    assert "class_share" in demist("compare", path("asked"), path("kinds"), "--out", path("shares.html"))[0] + open(path("shares.html")).read()
    demist("report", path("asked"), "--no-samples")
    page = open(path("asked/report.html")).read()
    assert "<th class=\"n\">class share</th>" in page and f"{report['classes'][1]['class_share']:.4g}" in page
    assert "class_share" not in rows("base/sweep")[0] and "class_share" not in open(path("base/sweep/sweep.md")).read()


# As sweeps of before called a run.
def hash_alone(run):
    h, section = hashlib.sha256(), ""
    for line in open(path(run, "resolved.yaml")).read().splitlines(keepends=True):
        if not line.startswith(" "):
            section = line.split(":")[0] if line.endswith(":\n") else ""
        if section in ("sampler", "grid", "guidance") or not section and line.split(":")[0] in ("device", "allow_nan", "name", "output", "plugin_path"):
            continue
        h.update(section.encode() + b"\0" + line.lstrip(" ").encode())
    return h.hexdigest()[:24]


def runs_are_called_by_what_is_swept():
    def sweep(folder, steps, *over):
        demist("sweep", *moons("named", "data.limit=500", f"train.steps={steps}"), *over, "--metric", "loss", "--out", path(folder), "--samples", "0")
        return sorted(os.listdir(path(folder, "runs")))

    lr = ("--over", "train.lr=1e-3,1e-2")
    assert sweep("two", 10, *lr) == ["lr=1e-2", "lr=1e-3"]
    # Another experiment under the same values does not take the folder of the first, which stays.
    names = sweep("two", 5, *lr)
    assert len(names) == 4 and names[0] == "lr=1e-2" and re.fullmatch("lr=1e-2-[0-9a-f]{8}", names[1]) and names[2] == "lr=1e-3", names
    assert sweep("two", 5, *lr) == names and sweep("two", 10, *lr) == names
    # Those of before are called by a hash alone, and are not trained again.
    old = hash_alone("two/runs/lr=1e-2")
    os.rename(path("two/runs/lr=1e-2"), path("two/runs", old))
    assert sweep("two", 10, *lr) == sorted([old, *names[1:]])
    # Keys that end alike are whole; values that belong into no folder's name leave the sweep's folder nowhere.
    assert sweep("three", 5, "--over", "schedule.use=linear,cosine", "--over", "network.use=mlp", "--over", "data.limit=200") == \
        [f"schedule.use={s},network.use=mlp,limit=200" for s in ("cosine", "linear")]
    name, = sweep("four", 5, "--over", "train={steps: 5, lr: 1e-3}")
    assert re.fullmatch("train=_steps__5__lr__1e-3_-[0-9a-f]{8}", name), name


def what_cannot_be_measured_is_not_trained():
    """A metric of the test split, which these data have none of: seen before the training."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (64, 2), }"
    open(path("points.npy"), "wb").write(b"\x93NUMPY\1\0" + (118).to_bytes(2, "little") + head.ljust(117) + b"\n" + bytes(512))
    data = [moons("none")[0], f"data={{use: npy, file: {path('points.npy')}}}", *moons("none", "train.steps=4")[1:]]
    out, err = demist("sweep", *data, "--over", "train.lr=0.001,0.002", "--metric", "loss", "--out", path("untrained"), code=2)
    assert "no test split" in err and os.listdir(path("untrained/cells")) == [], (out, err)
    assert sorted(os.listdir(path("untrained"))) == ["cells", "lock"], os.listdir(path("untrained"))


def refuses():
    q = (path("base"), *QUALITY)
    for args, code, says in (
            (("sweep",), 2, "give an experiment or a run"), (("sweep", path("base")), 2, "give --over"),
            (("sweep", path("base"), "--over", "sampler.steps=1,2"), 2, "give --metric"),
            (("sweep", path("base"), "--over", "sampler.steps=1,2", "--metric", "quality"), 2, "--features"),
            (("sweep", *q, "--over", "sampler.steps"), 2, "not of the form key=value"), (("sweep", *q, "--over", "sampler.steps=1,,2"), 2, "empty"),
            (("sweep", *q, "--over", "sampler.steps=1,1"), 2, "twice"), (("sweep", *q, "--over", "sampler.stps=1,2"), 2, "did you mean 'steps'"),
            (("sweep", *q, "--over", "output=a,b"), 2, "cannot be swept"), (("sweep", *q, "--over", "train.lr=1,2"), 2, "is trained"),
            (("sweep", *q, "--over", "sampler.steps=1,2", "--over", "sampler.steps=3"), 2, "at once"),
            (("sweep", *q, "--over", "sampler.steps=1001,1002", "--out", path("refused")), 2, "more than the schedule"),
            (("sweep", path("base/checkpoints/step-00000040.safetensors"), *QUALITY, "--over", "sampler.steps=1,2"), 2, "--out"),
            (("sweep", path("nothing.yaml"), *QUALITY, "--over", "sampler.steps=1,2"), 2, "nothing.yaml")):
        err = demist(*args, code=code)[1]
        assert says in err, (args, err)
    assert not os.path.exists(path("refused/sweep.json"))  # it would be in the way of other keys


run_tests([cells_are_what_the_plugins_take, a_grid_from_one_checkpoint, killed_and_resumed, training_keys_train, runs_are_called_by_what_is_swept,
           what_cannot_be_measured_is_not_trained, guidance_and_the_class_asked_for, refuses])
