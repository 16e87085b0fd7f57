"""A rank that is killed ends the job, which goes on from its last checkpoint to the bits of one that was not.
DEMIST_KILLS: how often."""
import os
import random
import re
import shutil
import signal
import time

from cli import log_lines, moons, path, run_tests, same_tensors
from mpi import finish, processes, ranks, start, wait_for_steps

KILLS = int(os.environ.get("DEMIST_KILLS", "3"))
STEPS, LIMIT = 400, 30  # seconds in which the job is to end
ARGS = (*moons("killed", f"train.steps={STEPS}", "train.log_every=1", "train.save_every=7", "train.micro_batch=8"), "--deterministic", "-q")
LAST = os.path.join("checkpoints", f"step-{STEPS:08d}.safetensors")


def end_is_that_of_the_others():
    assert not same_tensors(path("unkilled", LAST), path("killed", LAST))
    assert [x["loss"] for x in log_lines(path("unkilled"))] == [x["loss"] for x in log_lines(path("killed"))]


def kill_one(rng):
    """Whether the kill met a job at work; else that came to its end, and another begins."""
    began, n = time.time(), rng.choice([2, 2, 3])
    victim, wait = rng.randrange(n), rng.random() * 0.2
    p = start(n, "train", *ARGS, "--resume")
    if wait_for_steps(p, "killed", began):
        time.sleep(wait)
    there = processes(p)
    if len(there) < n:
        finish(p)
        end_is_that_of_the_others()
        shutil.rmtree(path("killed"))
        return False
    os.kill(there[victim], signal.SIGKILL)
    killed = time.time()
    out = finish(p, None, LIMIT)
    assert p.returncode and time.time() - killed < LIMIT
    # Open MPI names the rank and the signal; MPICH's launcher what the process ended with.
    assert re.search(rf"rank {victim}\b.*signal 9|EXIT CODE: 9", out, re.S), out
    return True


def killed():
    rng = random.Random(7)
    ranks(2, "train", *ARGS, f"output={path('unkilled')}")
    done = 0
    while done < KILLS:
        done += kill_one(rng)
    ranks(2, "train", *ARGS, "--resume")
    end_is_that_of_the_others()
    print(f"{KILLS} kills: each job ended within {LIMIT} s, and went on to the same bits")


if __name__ == "__main__":
    run_tests([killed])
