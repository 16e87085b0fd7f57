"""Several ranks under MPI on one machine: the same training as one, or a refusal that one rank tells."""
import os
import re
import shutil
import subprocess

from cli import DEMIST, WORK, config, demist, floats, log_lines, moons, path, read_safetensors, run_tests, same_tensors

MPIRUN = os.environ["DEMIST_MPIRUN"].split()
# As root, and with more ranks than processors, Open MPI wants to be told; MPICH does not heed these.
ENV = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
       "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_btl_base_warn_component_unused": "0"}
LAST = os.path.join("checkpoints", "step-%08d.safetensors")


def start(n, *args, env=None):
    """mpirun of so many ranks; or of ranks with their own arguments, where n is a list of lists of them."""
    each = [["-n", "1", DEMIST, *own, *args] for own in n] if isinstance(n, list) else [["-n", str(n), DEMIST, *args]]
    words = [w for i, one in enumerate(each) for w in ([":"] if i else []) + one]
    return subprocess.Popen(MPIRUN + words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=WORK,
                            env={**ENV, **(env or {})})


def finish(p, code=0, seconds=120):
    out, _ = p.communicate(timeout=seconds)
    assert code is None or p.returncode == code, (p.returncode, out[-3000:])
    return out


def ranks(n, *args, code=0, env=None):
    return finish(start(n, *args, env=env), code)


def train(n, out, *more, code=0, env=None):
    keys = "train.steps=20", "train.log_every=1", "train.save_every=1", "train.keep=30"
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


def one_rank_keeps_its_bits():
    train(1, "alone")
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
    for n in 3, 4:
        assert not same_tensors(path("fixed1", LAST % 20), path(f"fixed{n}", LAST % 20)), n
        assert [x["loss"] for x in log_lines(path("fixed1"))] == [x["loss"] for x in log_lines(path(f"fixed{n}"))]
    shutil.copytree(path("fixed4"), path("moved"))
    for step in range(11, 21):
        os.remove(path("moved", LAST % step))
    ranks(2, "resume", path("moved"), "-q")
    assert not same_tensors(path("fixed1", LAST % 20), path("moved", LAST % 20))
    assert len(log_lines(path("moved"))) == 20


def devices():
    """Which device a rank takes, and what is said of it."""
    out = ranks(2, "train", *moons("who", "train.steps=2"))
    assert len(re.findall(r"rank \d: 16 examples a step, on device \d+:\d+", out)) == 2, out
    share = [line for line in out.splitlines() if "2 ranks share device" in line]
    assert len(share) == 1, out
    found = re.findall(r"^ *(\d+:\d+)", demist("devices", "--list")[0], re.M)
    if len(found) > 1:  # of different vendors, in one run
        train(2, "unlike", "device=" + ",".join(found[:2]))
        compare_runs("one", "unlike")
    out = train(3, "short", "device=0:0,0:0", code=2)
    assert "names 2 devices, and 3 ranks were started on this host" in out, out


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
    _, err = demist("train", *moons("other"), "-q", code=2, env=other)
    assert "sees 1: start it with that MPI's own mpirun" in err, err
    _, err = demist("train", *moons("off", "train.steps=1"), "-q", env={**other, "DEMIST_MPI": "off"})


def one_rank_fails():
    """What fails on one rank ends all, by that rank's name."""
    plain = ["train", *moons("one-fails", "train.steps=1")]
    out = ranks([plain, [*plain, "data.limit=-1"]], "-q", code=2)
    told_once(out, "rank 1 (")


if __name__ == "__main__":
    run_tests([the_same_as_one, one_rank_keeps_its_bits, what_needs_the_whole_batch, fixed_order, devices, refusals,
               one_rank_fails])
