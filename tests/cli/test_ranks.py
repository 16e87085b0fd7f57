"""Several ranks under MPI on one machine: the same training as one, or a refusal that one rank tells."""
import csv
import json
import os
import re
import resource
import shutil
import signal
import statistics
import struct
import time

from cli import DEVICE, config, demist, floats, log_lines, moons, path, read_safetensors, run_tests, same_tensors
from mpi import ENV, LAST, finish, processes, ranks, start, wait_for_steps


def train(n, out, *more, code=0, env=None):
    # With products of fp32's own rounding, so that what differs is what ranks do: a shape's fastest product may be a
    # split one, off by 1.1e-5, for the whole batch and not for a share of it, or the other way round.
    keys = "train.steps=20", "train.log_every=1", "train.save_every=1", "train.keep=30", "matmul_precision=highest"
    args = ["train", *moons(out, *keys, *more), "-q"]
    return ranks(n, *args, code=code, env=env) if n else demist(*args)


def near(a, b, what, part):
    most = max(abs(x) for x in a)
    worst = max(abs(x - y) for x, y in zip(a, b, strict=True))
    assert worst <= part * most, f"{what}: off by {worst} of {most}"


def compare_runs(one, other):
    """Losses of all steps within 1e-4 of themselves."""
    a, b = log_lines(path(one)), log_lines(path(other))
    assert len(a) == len(b) == 20
    assert all(x["reduce_seconds"] > 0 for x in b) and not any("reduce_seconds" in x for x in a)
    for x, y in zip(a, b):
        assert abs(x["loss"] - y["loss"]) <= 1e-4 * x["loss"], (one, other, x, y)


def the_same_as_one():
    """Gradients of the first step within 1e-5 of the largest, as the first moments have them; uneven shares too."""
    train(0, "one")
    g = read_safetensors(path("one", LAST % 1))[0]
    for n in 2, 3, 4:
        train(n, f"ranks{n}")
        compare_runs("one", f"ranks{n}")
        h = read_safetensors(path(f"ranks{n}", LAST % 1))[0]
        moments = [k for k in g if k.startswith("adam.m.")]
        assert moments
        for k in moments:
            near(floats(g[k]), floats(h[k]), k, 1e-5)


def sent_as_bf16():
    """Gradients keep bf16's 8 bits; losses stay within two standard deviations of those of other seeds."""
    wire = "train.reduce_precision=bf16"
    train(3, "bf16", wire)  # each checkpoint compares the ranks' weights
    g, h = (read_safetensors(path(run, LAST % 1))[0] for run in ("one", "bf16"))
    off = []
    for k in g:
        if k.startswith("adam.m."):
            a, b = floats(g[k]), floats(h[k])
            near(a, b, k, 3 * 2 ** -8)
            off += [abs(x - y) / max(map(abs, a)) for x, y in zip(a, b)]
    assert max(off) > 2 ** -12, "nothing was rounded"
    ends = {}
    for more in (), (wire,):
        for seed in 1, 2, 3, 4, 5:
            train(2, f"seed{seed}", "train.steps=60", "train.save_every=0", f"seed={seed}", *more)
            ends.setdefault(more, []).append(statistics.mean(x["loss"] for x in log_lines(path(f"seed{seed}"))[-30:]))
            shutil.rmtree(path(f"seed{seed}"))
    assert abs(statistics.mean(ends[(wire,)]) - statistics.mean(ends[()])) <= 2 * statistics.stdev(ends[()]), ends
    told_once(train(2, "fixed-bf16", wire, "--deterministic", code=2), "1 error in the experiment")


def one_rank_keeps_its_bits():
    # Open MPI gives a rank one core otherwise, and a runtime that counts those plans for it.
    train(1, "alone", env={"OMPI_MCA_hwloc_base_binding_policy": "none"})
    assert not same_tensors(path("one", LAST % 20), path("alone", LAST % 20))


def what_needs_the_whole_batch():
    more = "objective.draw=importance", "objective.coupling=ot"
    train(0, "whole", *more)
    train(3, "whole3", *more)
    compare_runs("whole", "whole3")


def fixed_order():
    """With --deterministic the same bits for any number of ranks; and on, with another number, after a stop."""
    more = "train.micro_batch=8", "--deterministic"
    for n in 1, 3, 4:
        train(n, f"fixed{n}", *more)
    train(2, "fixed2", "train.shares=[1, 3]", *more)
    for n in 2, 3, 4:
        assert not same_tensors(path("fixed1", LAST % 20), path(f"fixed{n}", LAST % 20)), n
        assert [x["loss"] for x in log_lines(path("fixed1"))] == [x["loss"] for x in log_lines(path(f"fixed{n}"))]
    shutil.copytree(path("fixed4"), path("moved"))
    for step in range(11, 21):
        os.remove(path("moved", LAST % step))
    ranks(2, "resume", path("moved"), "-q")
    assert not same_tensors(path("fixed1", LAST % 20), path("moved", LAST % 20))
    assert len(log_lines(path("moved"))) == 20


def in_parts():
    """The optimizer's state in parts: the bits of ranks that each have all, in checkpoints too; and on, with any number of ranks."""
    keys = "train.shard_optimizer=true", "train.micro_batch=8", "--deterministic"
    more = "train.save_every=10", "train.validate_every=10", "train.validate_count=20", "train.sample_every=10", "train.sample_count=3", "sampler.steps=3"
    train(1, "undivided", *keys[1:], *more)
    for n in 2, 4:
        train(n, f"parts{n}", *keys, *more)
        for step in 10, 20:
            assert not same_tensors(path("undivided", LAST % step), path(f"parts{n}", LAST % step)), (n, step)
        assert held_out("undivided") == held_out(f"parts{n}")
        assert not same_tensors(*(path(run, "checkpoints", "best.safetensors") for run in ("undivided", f"parts{n}")))
        a, b = (open(path(run, "samples", "step-00000020.png"), "rb").read() for run in ("undivided", f"parts{n}"))
        assert a == b
    shutil.copytree(path("parts2"), path("parts"))
    os.remove(path("parts", LAST % 20))
    # Each with its own number of ranks, the last of them without parts.
    for n, steps, own in (3, 13, keys), (1, 16, keys), (2, 20, keys[1:]):
        ranks(n, "train", *moons("parts", f"train.steps={steps}", "train.log_every=1", "train.keep=30", "matmul_precision=highest"), *more,
              *own, "--resume", "-q")
    assert not same_tensors(path("undivided", LAST % 20), path("parts", LAST % 20))
    train(3, "plain-parts", keys[0])  # each checkpoint compares the ranks' weights
    compare_runs("one", "plain-parts")
    wire = "--ranks", 4, "--bandwidth", 1, "--latency", 10, "--speed", 100
    whole, parts = (float(re.search(r"^ +4 +8 .* (\S+)  \w+$", demist("plan", *moons("planned", f"train.shard_optimizer={on}", "network.width=512"), *wire)[0], re.M)[1])
                    for on in ("false", "true"))
    weights = int(re.search(r"^(\d+) parameters", demist("plan", *moons("planned", "network.width=512"), *wire)[0], re.M)[1])
    assert abs(whole - parts - 8e-6 * weights * 3 / 4) <= 0.2, (whole, parts, weights)


def by_speed():
    """Shares as the experiment has them; and by what ranks are measured to do, where one is held to half its time."""
    train(2, "shares", "train.shares=[3, 1]")
    compare_runs("one", "shares")
    told_once(train(3, "wrong", "train.shares=[3, 1]", code=2), "train.shares has 2 numbers, and there are 3 ranks")
    assert "0.001" in demist("check", *moons("wrong", "train.shares=[0, 1]"), code=2)[1]
    for victim in 0, 1:
        shutil.rmtree(path("speed"), ignore_errors=True)
        p = start(2, "train", *moons("speed", "network.width=256", "train.batch=64", "train.steps=1000000", "train.save_every=0", "train.decay=constant"))
        wait_for_steps(p, "speed")
        held, deadline, got = processes(p)[victim], time.time() + 400, []
        while not got or got[-1][victim] >= 29:
            assert p.poll() is None and time.time() < deadline, got
            os.kill(held, signal.SIGSTOP)
            time.sleep(0.04)
            os.kill(held, signal.SIGCONT)
            time.sleep(0.04)
            got = [(int(a), int(b)) for a, b in re.findall(r"by measured speed, ranks have (\d+), (\d+) examples", open(path("speed/log.txt")).read())]
            assert all(a + b == 64 for a, b in got)
        os.kill(held, signal.SIGTERM)
        finish(p, 75, 60)


def overlapped():
    """Buckets are summed while the backward pass goes on: all the same, what is summed is complete."""
    more = "network.width=512", "network.depth=8", "train.steps=3", "train.save_every=3"  # 21 MB of gradients
    fixed = *more, "train.batch=64", "train.micro_batch=16", "--deterministic"
    for n in 1, 2, 4:
        train(n, f"buckets{n}", *fixed)
    for n in 2, 4:
        assert not same_tensors(path("buckets1", LAST % 3), path(f"buckets{n}", LAST % 3)), n
    for n in 0, 2:  # with work enough to hide something
        train(n, f"plain{n}", *more, "train.batch=512")
    lines = log_lines(path("plain2"))
    assert all(0 <= x["reduce_hidden"] <= x["reduce_seconds"] for x in lines) and any(x["reduce_hidden"] > 0 for x in lines), lines
    for x, y in zip(lines, log_lines(path("plain0")), strict=True):
        assert "reduce_hidden" not in y and abs(x["loss"] - y["loss"]) <= 1e-4 * x["loss"], (x, y)


def held_out(run):
    """Steps and figures of the held-out loss."""
    return [{k: v for k, v in line.items() if k == "step" or k.startswith("val_")} for line in log_lines(path(run)) if "val_loss" in line]


def measured_in_training():
    """The held-out loss and samples of a run are those of one rank: with --deterministic the same bits and files."""
    keys = "train.steps=6", "train.validate_every=3", "train.validate_count=50", "train.sample_every=3", "train.sample_count=5", "sampler.steps=4"
    same = "train.micro_batch=8", "--deterministic"
    train(1, "measured1", *keys, *same)
    train(3, "measured3", *keys, *same)
    assert held_out("measured1") == held_out("measured3") and len(held_out("measured1")) == 2
    for n in 3, 6:
        a, b = (open(path(f"measured{k}", "samples", f"step-{n:08d}.png"), "rb").read() for k in (1, 3))
        assert a == b
    assert not same_tensors(*(path(f"measured{k}", "checkpoints", "best.safetensors") for k in (1, 3)))
    train(3, "close", *keys, "train.validate_count=2", "train.sample_count=2")  # fewer than ranks
    train(0, "close0", *keys, "train.validate_count=2", "train.sample_count=2")
    for x, y in zip(held_out("close0"), held_out("close"), strict=True):
        for k in x:
            assert abs(x[k] - y[k]) <= 1e-4 * abs(x[k]), (k, x, y)  # of weights that are as near


def devices():
    """Which device a rank takes, and what is said of it."""
    out = ranks(2, "train", *moons("who", "train.steps=2"))
    assert len(re.findall(r"rank \d: 16 examples a step, on device \d+:\d+", out)) == 2, out
    share = [line for line in out.splitlines() if "2 ranks share device" in line]
    assert len(share) == 1, out
    found = re.findall(r"^ *(\d+:\d+)", demist("devices", "--list")[0], re.M)
    if len(found) > 1 and "DEMIST_PRELOAD" not in os.environ:  # of different vendors, in one run; the sanitizers watch one
        train(2, "unlike", "device=[" + ", ".join(found[:2]) + "]")
        compare_runs("one", "unlike")
    train(2, "list", "device=[0:0, 0:0]", "train.steps=2")
    assert "\ndevice: [0:0, 0:0]\n" in open(path("list/resolved.yaml")).read()
    for devices in "0:0,0:0", "[0:0, 0:0]":
        out = train(3, "short", f"device={devices}", code=2)
        assert re.search(r"device: \[0:0,0:0\] names 2 devices, and 3 ranks were started on this host \(.+\)", out), out
    told_once(train(2, "short", "device=[0:0, 9:9]", code=None), "rank 1 (")
    assert "no OpenCL device matches '9:9'" in train(2, "short", "device=[0:0, 9:9]", code=None)
    for devices, why in ("[]", "is an empty list"), ("[0:0, '']", "item 2"), ("[0:0, {a: 1}]", "is a map"):
        told_once(train(2, "short", f"device={devices}", code=2), "1 error in the experiment")
        assert why in demist("check", *moons("short", f"device={devices}"), code=2)[1]


def told_once(out, text):
    said = [line for line in out.splitlines() if line.startswith("demist: error:")]
    assert len(said) == 1 and text in said[0], out


def refusals():
    told_once(train(3, "many", "train.batch=2", code=2), "3 ranks are more than train.batch = 2")
    told_once(train(2, "none", code=2, env={"DEMIST_BACKENDS": "/nowhere"}), "no mpi.so in '/nowhere'")
    own = [["train", *moons("differ", f"train.lr={lr}")] for lr in ("0.5", "0.25")]
    told_once(ranks(own, "-q", code=2), "it has 'train.lr: 0.25', rank 0 has 'train.lr: 0.5'")
    assert not os.path.exists(path("differ", "resolved.yaml"))
    told_once(train(2, "one", code=2), "already has a run")
    told_once(ranks(2, "train", config("moons.yaml"), "train.stepz=3", code=2), "1 error in the experiment")
    told_once(ranks(2, "train", "--nonsense", code=2), "--nonsense")
    # Started by another MPI's launcher, each of its processes would be alone.
    other = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"} if "mpich" in os.environ["DEMIST_MPI_NAME"] else {"PMI_SIZE": "2", "PMI_RANK": "0"}
    _, err = demist("train", *moons("other"), "-q", code=2, env={**ENV, **other})
    assert "sees 1: start it with that MPI's own mpirun" in err, err
    _, err = demist("train", *moons("off", "train.steps=1"), "-q", env={**ENV, **other, "DEMIST_MPI": "off"})


def one_rank_fails():
    """What fails on one rank ends all, by that rank's name."""
    plain = ["train", *moons("one-fails", "train.steps=1")]
    out = ranks([plain, [*plain, "data.limit=-1"]], "-q", code=2)
    told_once(out, "rank 1 (")


def stopped():
    """A signal to any rank stops all at one step, with a checkpoint."""
    for victim in 0, 1:
        shutil.rmtree(path("stopped"), ignore_errors=True)
        p = start(2, "train", *moons("stopped", "train.steps=1000000", "train.save_every=0", "train.decay=constant"))
        wait_for_steps(p, "stopped")
        os.kill(processes(p)[victim], signal.SIGTERM)
        out = finish(p, 75, 30)
        step = int(re.search(r"stopped at step (\d+) of 1000000, a checkpoint is saved", out)[1])
        assert os.listdir(path("stopped/checkpoints")) == [f"step-{step:08d}.safetensors"], out
    ranks(3, "train", *moons("stopped", f"train.steps={step + 2}", "train.save_every=0", "train.decay=constant"),
          "--resume", "-q")


def write_points(file, bad):
    """64 points of which one is beyond what its square can be."""
    values = [0.01 * i for i in range(128)]
    values[2 * bad] = 3e38
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 2), }"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(file, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<128f", *values))


def diverged():
    """What is not finite on one rank stops all, and its rank and tensor are named."""
    write_points(path("points.npy"), 5)
    named = set()
    for seed in 1, 2, 3:
        out = train(2, f"nan{seed}", "data={use: npy, file: " + path("points.npy") + "}", "train.batch=64",
                    f"seed={seed}", code=7)
        told_once(out, "training diverged at step ")
        assert "the first tensor that is not finite is the " in out, out
        named.add(re.search(r"on rank (\d) \(", out)[1])
    assert named == {"0", "1"}, named


def full_disk():
    """On rank 0 it ends all; the last checkpoint is whole."""
    args = moons("full", "train.save_every=5", "network.width=640")  # checkpoints of 20 MB

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 23, 1 << 23))

    ranks(2, "train", *args, "train.steps=5", "-q")
    before = open(path("full", LAST % 5), "rb").read()
    assert len(before) > 1 << 24
    out = ranks(2, "train", *args, "train.steps=20", "--resume", "-q", code=6, preexec=limit)
    told_once(out, "step-00000010")
    assert open(path("full", LAST % 5), "rb").read() == before
    ranks(3, "train", *args, "train.steps=7", "--resume", "-q")


def sampled():
    """Images are the same files with --deterministic; without, within 1e-3 of the range."""
    train(0, "sampled")
    for more, part in ((["--deterministic"], 0), ([], 1e-3)):
        for n in 1, 3:
            ranks(n, "sample", path("sampled"), "--count", 7, "--tensors", path(f"x{n}.safetensors"), "--out",
                  path(f"x{n}.png"), "-q", "-f", f"device={DEVICE}", *more)
        a, b = (read_safetensors(path(f"x{n}.safetensors"))[0]["x"] for n in (1, 3))
        near(floats(a), floats(b), "x", part)
        assert part or (a == b and open(path("x1.png"), "rb").read() == open(path("x3.png"), "rb").read())
    ranks(3, "sample", path("sampled"), "--count", 2, "--out", path("few.png"), "-q")
    own = [["sample", path("sampled"), f"seed={seed}"] for seed in (1, 2)]
    told_once(ranks(own, "--out", path("y.png"), "-q", code=2), "it has 'seed: 2', rank 0 has 'seed: 1'")
    told_once(ranks(2, "export", path("sampled"), path("folder"), code=2), "started 2 processes, but 'export' works in one")


def numbers(x, at=""):
    """{place: number} of a report, but for what depends on the clock."""
    if isinstance(x, dict):
        return {k: v for name, y in x.items() if "seconds" not in name for k, v in numbers(y, f"{at}.{name}").items()}
    if isinstance(x, list):
        return {k: v for i, y in enumerate(x) for k, v in numbers(y, f"{at}.{i}").items()}
    return {at: x} if isinstance(x, (int, float)) and not isinstance(x, bool) else {}


def evaluate(n, *args):
    """The report of so many ranks, 0: of no launcher; and what it saved."""
    files = ["--json", path("report.json"), "-f", "-q"]
    if "--save" in args:
        files += ["sampler.batch=4"]
    out = ranks(n, "eval", *args, *files) if n else demist("eval", *args, *files)[0]
    assert len(out.splitlines()) < 30, out  # one rank's table
    saved = read_safetensors(path("saved.safetensors"))[0] if "--save" in args else {}
    return numbers(json.load(open(path("report.json")))), saved


def evaluated():
    """Metrics over ranks are those of one: within 1e-9 with --deterministic, within 1e-5 without."""
    train(0, "model", "data.limit=200", "train.steps=10")
    train(0, "kinds", "data.limit=200", "train.steps=10", "data.labels=true", "objective={use: classify}")
    asked = [a for a in moons("asked", "data.limit=200", "data.labels=true", "train.steps=1") if not re.match("network.(width|depth)", a)]
    demist("train", *asked, "network={use: exact_gaussians, means: [-0.3, 0.8, 0.3, -0.8], deviations: [0.8, 0.8], weights: [1, 1], classes: true}")
    by_class = path("asked"), "--metric", "quality", "--features", path("kinds"), "--count", 61, "sampler.steps=3", "--by-class"
    save = "--save", path("saved.safetensors")
    quality = path("model"), "--metric", "quality", "--features", path("model"), "--count", 60, "sampler.steps=3"
    nll = path("model"), "--metric", "nll", "--count", 7, "sampler.use=ddpm", "--steps", 5
    cheap = "matmul_precision=highest"  # another's kernels take Intel's runtime half a minute each
    for args, modes in (((path("model"), "--metric", "loss", "--weights", "all", "--count", 50), "both"), ((*nll, *save), "both"),
                        ((path("model"), "--metric", "nll", "--ode", "--count", 5, "--steps", 3, *save), "fixed"),
                        ((path("kinds"), "--metric", "accuracy"), "fixed"), ((*quality, *save), "fixed"), (quality, "plain"),
                        ((*by_class, *save), "fixed")):
        for more, part in ((["deterministic=true"], 1e-9), ([], 1e-5)):
            if modes != "both" and bool(more) != (modes == "fixed"):
                continue
            (one, saved), (three, saved3) = evaluate(0, *args, *more, cheap), evaluate(3, *args, *more, cheap)
            assert len(one) > 3 and one.keys() == three.keys(), (one, three)
            assert "--by-class" not in args or {".classes.1.recall", ".classes.1.class_share", ".samples.class_share"} <= one.keys(), one
            for k in one:
                ok = "evaluations" in k or abs(one[k] - three[k]) <= part * max(abs(one[k]), 1e-3)
                assert ok or (not more and k.endswith(("precision", "recall"))), (args, more, k, one[k], three[k])
            assert saved.keys() == saved3.keys() and (not more or saved == saved3)
    told_once(ranks([["eval", *quality], ["eval", *quality, "--raw"]], "-q", code=2), "it has 'raw: 1', rank 0 has 'raw: 0'")
    told_once(ranks([["eval", *by_class], ["eval", *by_class[:-1]]], "-q", code=2), "it has 'by class: 0', rank 0 has 'by class: 1'")
    told_once(ranks(2, "eval", *by_class, "--count", 7, "-q", code=2), "of class 1 there are 3")
    told_once(ranks(2, "eval", path("kinds"), "--metric", "nll", code=2), "not a diffusion model")


def table(folder):
    """The rows of a sweep, but for what depends on the clock."""
    return [{k: v for k, v in r.items() if not k.startswith("seconds")} for r in csv.DictReader(open(path(folder, "sweep.csv"), newline=""))]


def same_table(a, b):
    for x, y in zip(table(a), table(b), strict=True):
        assert {**x, "loss": 0, "error": 0} == {**y, "loss": 0, "error": 0}, (x, y)
        assert x["state"] == "refused" or abs(float(x["loss"]) - float(y["loss"])) <= 1e-5 * float(x["loss"]), (x, y)


def swept():
    """Each cell is one rank's: the table of one process; killed, the sweep goes on, also with other ranks."""
    measured = "--metric", "loss", "--count", 20
    cells = path("base"), "deterministic=true", "--over", "seed=1,2,3,4,5,6,7", *measured, "--samples", 2, "--out"
    train(0, "base", "data.limit=200", "train.steps=5")
    demist("sweep", *cells, path("sweep0"))
    out = ranks(3, "sweep", *cells, path("sweep3"))
    assert out.count("| seed |") == 1 and all(f" of 7: seed={k}: loss " in out for k in range(1, 8)), out
    same_table("sweep0", "sweep3")
    assert len([f for f in os.listdir(path("sweep3/cells")) if f.endswith(".png")]) == 7
    assert ranks(2, "sweep", *cells, path("sweep3")).count("measured before") >= 4  # of the first rank
    p = start(2, "sweep", *cells, path("sweep2"))
    while p.poll() is None and not [f for f in (os.listdir(path("sweep2/cells")) if os.path.isdir(path("sweep2/cells")) else []) if f.endswith(".json")]:
        time.sleep(0.005)
    for pid in list(processes(p).values())[-1:]:
        os.kill(pid, signal.SIGKILL)
    finish(p, None, 30)
    ranks(3, "sweep", *cells, path("sweep2"), "-q")
    same_table("sweep0", "sweep2")
    # Runs are trained by one rank each, and what fails there is told of each of its cells.
    trained = [*moons("lr", "data.limit=200", "train.steps=5"), "--over", "train.lr=1e-3,1e9,1e-2", "--over", "sampler.steps=2,3", *measured,
               "--samples", 0, "--out"]
    demist("sweep", *trained, path("lr0"))
    ranks(2, "sweep", *trained, path("lr2"), "-q")
    same_table("lr0", "lr2")
    assert sorted(os.listdir(path("lr2/runs"))) == ["lr=1e-2", "lr=1e-3"] and [r["state"] for r in table("lr2")].count("refused") == 2
    own = [["sweep", path("base"), "--over", f"seed={seeds}", *measured, "--out", path("differ")] for seeds in ("1,2", "1,3")]
    told_once(ranks(own, "-q", code=2), "it has 'cell 2: seed=3', rank 0 has 'cell 2: seed=2'")


if __name__ == "__main__":
    run_tests([stopped, diverged, full_disk, the_same_as_one, sent_as_bf16, one_rank_keeps_its_bits, what_needs_the_whole_batch, fixed_order, in_parts, by_speed, overlapped,
               measured_in_training, evaluated, swept, devices, sampled, refusals,
               one_rank_fails])
