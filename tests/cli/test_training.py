"""Training: a killed run ends as one that was not, a stop on request, a lock, divergence, a full disk, the same run again."""
import os
import random
import resource
import shutil
import signal
import subprocess
import time

from cli import DEMIST, DEVICE, WORK, demist, floats, log_lines, moons, path, read_safetensors, run_tests, same_tensors

LAST = "checkpoints/step-00000060.safetensors"
STEPS = ["train.steps=60", "train.save_every=7", "train.keep=3"]


def numbers(run):
    """Log lines without what depends on the clock."""
    return [{k: v for k, v in x.items() if k != "images_per_s"} for x in log_lines(run)]


def start(*args):
    return subprocess.Popen([DEMIST, "train", *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=WORK)


def reference_run():
    demist("train", *moons("whole", *STEPS))
    assert [x["step"] for x in log_lines(path("whole"))] == list(range(5, 61, 5))
    for f in ("resolved.yaml", "env.json", "log.jsonl", "choices.json", "plots/loss.png", LAST):
        assert os.path.exists(path("whole", f)), f
    assert len(os.listdir(path("whole/checkpoints"))) == 3
    losses = [x["loss"] for x in log_lines(path("whole"))]
    assert losses[-1] < losses[0], losses


def killed_and_resumed():
    sweeps = max(1, int(os.environ.get("DEMIST_KILLS", "20")) // 20)
    for seed in range(sweeps):
        kill_sweep(seed)


def kill_sweep(seed):
    rng, kills = random.Random(seed), 0
    args = moons("killed", *STEPS)
    shutil.rmtree(path("killed"), ignore_errors=True)
    for _ in range(200):
        p = start(*args, "--resume")
        while not kills and p.poll() is None and not os.path.exists(path("killed/resolved.yaml")):
            time.sleep(0.001)  # the first kill comes as training begins, however long the start takes
        try:
            p.wait(timeout=0.6 * rng.random() if kills else 0)
            assert p.returncode == 0, p.stderr.read()
            break
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            kills += 1
            if kills > 20:  # each start costs time; let it finish in the end
                demist("train", *args, "--resume")
                break
    assert kills > 0
    assert same_tensors(path("whole", LAST), path("killed", LAST)) == []
    assert numbers(path("killed")) == numbers(path("whole"))


def stopped_on_request():
    p = start(*moons("stopped", "train.steps=100000", "train.save_every=0", "train.decay=constant"))
    deadline = time.time() + 60
    while not os.path.exists(path("stopped/log.jsonl")) or os.path.getsize(path("stopped/log.jsonl")) == 0:
        assert p.poll() is None and time.time() < deadline
        time.sleep(0.05)
    p.send_signal(signal.SIGINT)
    err = p.communicate(timeout=60)[1]
    assert p.returncode == 75, (p.returncode, err)
    assert f"demist resume {path('stopped')}" in err, err
    assert len(os.listdir(path("stopped/checkpoints"))) == 1
    step = int(read_safetensors(path("stopped/checkpoints", os.listdir(path("stopped/checkpoints"))[0]))[1]["step"])
    demist("train", *moons("stopped", "train.save_every=0"), f"train.steps={step + 3}", "train.decay=constant", "--resume")


def one_writer():
    p = start(*moons("locked", "train.steps=100000"))
    deadline = time.time() + 60
    while not os.path.exists(path("locked/log.jsonl")) and time.time() < deadline:
        time.sleep(0.05)
    _, err = demist("train", *moons("locked", "train.steps=100000"), "--resume", code=2)
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=60)
    assert p.returncode == 75
    assert "process" in err, err


def a_start_that_failed_is_taken_again():
    args = [*moons("late")[:2], *moons("late")[2:3], "network.width=60000", "network.depth=200", "train.steps=2"]
    demist("train", *args, code=6)
    assert os.path.exists(path("late/resolved.yaml"))
    demist("train", *moons("late", "train.steps=5"))
    assert os.path.exists(path("late/checkpoints/step-00000005.safetensors"))
    demist("train", *moons("late", "train.steps=5"), code=2)


def not_over_another_run():
    _, err = demist("train", *moons("whole", *STEPS), code=2)
    assert "whole" in err
    _, err = demist("train", *moons("whole", *STEPS, "network.width=48"), "--resume", code=2)
    assert "network.width" in err, err
    assert same_tensors(path("whole", LAST), path("killed", LAST)) == []


def resolved_file_gives_the_same_run():
    demist("train", path("whole/resolved.yaml"), f"output={path('again')}")
    assert same_tensors(path("whole", LAST), path("again", LAST)) == []


def micro_batches_add_up():
    demist("train", *moons("micro", *STEPS, "train.micro_batch=7"))
    a, b = (read_safetensors(path(r, LAST))[0] for r in ("whole", "micro"))
    for k in a:
        if k.startswith("model."):
            x, y = floats(a[k]), floats(b[k])
            largest = max(abs(v) for v in x)
            assert max(abs(p - q) for p, q in zip(x, y)) < 2e-2 * largest + 1e-4, k
    first = [log_lines(path(r))[0]["loss"] for r in ("whole", "micro")]
    assert abs(first[0] - first[1]) < 1e-4 * abs(first[0]), first


def draws_by_losses_resume():
    """Their history is in the checkpoint: stopped anywhere, the run ends as one that was not."""
    args = ["objective.draw=importance", "schedule.timesteps=20", "sampler.steps=10", "objective.weighting=min_snr"]
    ends = {}
    for name, more in (("drawn", []), ("drawn_uniform", ["objective.draw=uniform"]), ("drawn_small", ["train.micro_batch=7"])):
        demist("train", *moons(name, *STEPS, *args, *more))
        ends[name] = {k: floats(v) for k, v in read_safetensors(path(name, LAST))[0].items()}
    counts = ends["drawn"]["draw.counts"]
    assert list(counts) == [10.0] * 20 and len(ends["drawn"]["draw.losses"]) == 200 and "draw.counts" not in ends["drawn_uniform"]
    gap = lambda a, b: max(abs(x - y) for k in b for x, y in zip(a[k], b[k]) if k.startswith("model."))
    assert gap(ends["drawn"], ends["drawn_small"]) < 1e-4 < gap(ends["drawn"], ends["drawn_uniform"])
    for stop in (7, 29):
        demist("train", *moons("drawn_again", *STEPS, *args), f"train.steps={stop}", "train.decay=constant", "--overwrite")
        demist("train", *moons("drawn_whole", *STEPS, *args), "train.decay=constant", "--overwrite")
        demist("resume", path("drawn_again"), "train.steps=60")
        assert not same_tensors(path("drawn_again", LAST), path("drawn_whole", LAST)), stop
        assert numbers(path("drawn_again"))[-1] == numbers(path("drawn_whole"))[-1]
    # A step's draws depend on the losses before it: those of the step that diverged are made again to look for the cause.
    steps = set()
    for every in (1, 5):
        err = demist("train", *moons("drawn_wild", *args, "train.steps=2000", "train.lr=10", "train.clip=0", "train.weight_decay=10",
                                     f"train.log_every={every}", "--overwrite"), code=7)[1]
        assert "diverged at step" in err and ("tensor" in err or "norm" in err), err
        steps.add(err.split("diverged at step ")[1].split(":")[0])
    assert len(steps) == 1, steps


def coupled_noise():
    """Which noise an example gets is decided over the whole batch, whatever the micro-batch, and again when resumed."""
    ends, first = {}, {}
    for name, more in (("ot", ["objective.coupling=ot"]), ("ot_small", ["objective.coupling=ot", "train.micro_batch=7"]),
                       ("immiscible", ["objective.coupling=immiscible"]), ("independent", [])):
        demist("train", *moons(name, *STEPS, "objective.use=flow", "schedule.use=flow", "sampler.use=heun", *more))
        ends[name] = {k: floats(v) for k, v in read_safetensors(path(name, LAST))[0].items()}
        first[name] = log_lines(path(name))[0]["loss"]
    gap = lambda a, b: max(abs(x - y) for k in ends[b] for x, y in zip(ends[a][k], ends[b][k]) if k.startswith("model."))
    assert gap("ot", "ot_small") < 1e-4 < min(gap("ot", "independent"), gap("immiscible", "independent"), gap("ot", "immiscible"))
    # Near noise leaves a shorter way: the velocity that is to be learned is smaller.
    assert abs(first["ot"] - first["ot_small"]) < 1e-4 * first["ot"] and max(first["ot"], first["immiscible"]) < 0.8 * first["independent"], first
    args = moons("ot_again", *STEPS, "objective.use=flow", "schedule.use=flow", "sampler.use=heun", "objective.coupling=ot")
    demist("train", *args, "train.steps=29", "train.decay=constant")
    demist("train", *args, "train.decay=constant", f"output={path('ot_whole')}")
    demist("resume", path("ot_again"), "train.steps=60")
    assert not same_tensors(path("ot_again", LAST), path("ot_whole", LAST))
    open(path("classes.yaml"), "w").write("data: {use: toy2d, labels: true}\nnetwork: {use: mlp, width: 8, depth: 1}\nobjective: {use: classify, coupling: ot}\n")
    err = demist("check", path("classes.yaml"), f"device={DEVICE}", code=2)[1]
    assert "classes.yaml:3:" in err and "objective.coupling" in err and "adds no noise; there is nothing to assign" in err, err


def coupling_of_large_batches():
    """An assignment that takes long is told with its time before any is made, and ended by a signal; one too large is refused."""
    large = lambda out, batch: moons(out, "objective.use=flow", "schedule.use=flow", "sampler.use=heun", "objective.coupling=ot",
                                     f"train.batch={batch}", "train.steps=3", "train.validate_every=0", "train.sample_every=0")
    err = demist("check", *large("large", 20000), code=2)[1]
    assert "objective.coupling: " in err and "at most 16384" in err and "3.2 GB" in err, err
    # Far above the time from which on check makes none, whatever the processor.
    out, err = demist("check", *large("large", 6000))
    assert "the exact assignment of objective.coupling=ot takes about" in err and "train.batch=6000" in err, err
    assert "the assignment of noise estimated" in out, out
    assert "assignment" not in demist("check", *large("large", 100))[1]
    p = start(*large("large", 6000))
    seen = ""
    while "exact assignment" not in seen:
        seen += p.stderr.readline()
    time.sleep(4)
    asked = time.monotonic()
    p.send_signal(signal.SIGTERM)
    seen += p.communicate(timeout=60)[1]
    assert p.returncode and time.monotonic() - asked < 20 and "stopped" in seen, seen


def divergence_names_step_and_tensor():
    _, err = demist("train", *moons("nan", *STEPS, "train.lr=10", "train.weight_decay=10", "train.clip=0", "train.save_every=1", "train.steps=2000"), code=7)
    assert "diverged at step" in err and ("tensor" in err or "norm" in err), err
    for f in os.listdir(path("nan/checkpoints")):
        for k, t in read_safetensors(path("nan/checkpoints", f))[0].items():
            assert all(v - v == 0 for v in floats(t)), (f, k)


def full_disk_keeps_the_last_checkpoint():
    args = moons("full", "train.save_every=5", "network.width=160")  # checkpoints of megabytes
    demist("train", *args, "train.steps=10")
    before = open(path("full/checkpoints/step-00000010.safetensors"), "rb").read()

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    _, err = demist("train", *args, "train.steps=20", "--resume", code=6, preexec=limit)
    assert "step-00000015" in err, err
    assert open(path("full/checkpoints/step-00000010.safetensors"), "rb").read() == before
    demist("train", *args, "train.steps=20", "--resume")


run_tests([reference_run, killed_and_resumed, stopped_on_request, one_writer, a_start_that_failed_is_taken_again, not_over_another_run,
           resolved_file_gives_the_same_run, draws_by_losses_resume, coupled_noise, coupling_of_large_batches, micro_batches_add_up, divergence_names_step_and_tensor,
           full_disk_keeps_the_last_checkpoint])
