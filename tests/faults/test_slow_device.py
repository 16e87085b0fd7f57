"""A stop on a slow device (clslow.c) ends within seconds and loses no step that was done; what is told of speed is of work that is done."""
import os
import re
import signal
import subprocess
import sys
import time

from cli import DEMIST, log_lines, moons, path, run_tests

SLOW = os.path.abspath(sys.argv[1])


def start(out, ms, *more):
    sanitizer = {"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"} if "ASAN_OPTIONS" in os.environ else {}
    return subprocess.Popen([DEMIST, "train", *moons(path(out), "tune=off", "train.save_every=0", "train.log_every=1", *more), "--progress", "none"],
                            stderr=subprocess.PIPE, text=True, env={**os.environ, "LD_PRELOAD": SLOW, "CLSLOW_MS": str(ms), **sanitizer})


def stop(p, wait):
    """Seconds from SIGTERM to its end, its exit code, and what it said."""
    time.sleep(wait)
    assert p.poll() is None
    since = time.monotonic()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=60)
    return time.monotonic() - since, p.returncode, err


# A step of some tenths of a second, hundreds of which fit into the queue.
def between_steps():
    took, code, err = stop(start("steps", 2, "train.steps=100000"), 6)
    assert code == 75 and took < 5 and "a checkpoint is saved" in err, (took, code, err[-500:])
    step = int(re.search(r"stopped at step (\d+)", err).group(1))
    assert os.path.exists(path(f"steps/checkpoints/step-{step:08d}.safetensors")) and log_lines(path("steps"))[-1]["step"] == step


# A step of many micro-batches, each of a second and more.
def within_a_step():
    took, code, err = stop(start("micro", 20, "train.steps=100000", "train.batch=256", "train.micro_batch=8"), 8)
    assert code in (75, 130, 143) and took < 8 and "stopped" in err, (took, code, err[-500:])


# Steps that are told of are done: as many a second as the log says.
def speed_is_of_work_done():
    p = start("left", 2, "train.steps=100000")
    seen = []
    for wait in (4, 4):
        time.sleep(wait)
        seen.append((time.monotonic(), log_lines(path("left"))[-1]))
    p.kill()
    p.communicate()
    (t0, a), (t1, b) = seen
    rate = 32 * (b["step"] - a["step"]) / (t1 - t0)
    assert b["step"] > a["step"] and rate / 2 < b["images_per_s"] < rate * 2, (seen, rate)


run_tests([between_steps, within_a_step, speed_is_of_work_done])
