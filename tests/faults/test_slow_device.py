"""A stop on a slow device (clslow.c) ends within seconds and loses no step that was done; what is told of speed is of work that is done."""
import os
import re
import signal
import subprocess
import sys
import time

from cli import DEMIST, log_lines, moons, path, run_tests

SLOW = os.path.abspath(sys.argv[1])


def slowed(ms):
    sanitizer = {"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"} if "ASAN_OPTIONS" in os.environ else {}
    return {**os.environ, "LD_PRELOAD": SLOW, "CLSLOW_MS": str(ms), **sanitizer}


def start(out, ms, *more, progress="none"):
    return subprocess.Popen([DEMIST, "train", *moons(path(out), "tune=off", "train.save_every=0", "train.log_every=1", *more), "--progress", progress],
                            stderr=subprocess.PIPE, text=True, env=slowed(ms))


def stop(p, wait):
    """Seconds from SIGTERM to its end, its exit code, and what it said."""
    time.sleep(wait)
    assert p.poll() is None
    since = time.monotonic()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=60)
    return time.monotonic() - since, p.returncode, err


# What follows measures time: its kernels are compiled before.
def kernels_are_there():
    for more in [], ["train.batch=256", "train.micro_batch=8"]:
        subprocess.run([DEMIST, "train", *moons(path(f"warm{len(more)}"), "tune=off", "train.steps=1", *more), "-q"], check=True)


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
        while not seen and p.poll() is None and not (os.path.exists(path("left/log.jsonl")) and log_lines(path("left"))):
            time.sleep(0.2)  # kernels are still being compiled
        seen.append((time.monotonic(), log_lines(path("left"))[-1]))
    p.kill()
    p.communicate()
    (t0, a), (t1, b) = seen
    rate = 32 * (b["step"] - a["step"]) / (t1 - t0)
    assert b["step"] > a["step"] and rate / 2 < b["images_per_s"] < rate * 2, (seen, rate)


# The time that is said to be left, from a third of the run on, is what it then takes.
def time_left_is_what_it_takes():
    p = start("bar", 1, "train.steps=60", progress="bar")
    said, text = [], ""
    while piece := os.read(p.stderr.fileno(), 4096).decode(errors="replace"):
        text = (text + piece)[-300:]
        state = re.findall(r"train +(\d+)/60 [^\r]*?(\d+):(\d+) left", text)
        if state and (not said or said[-1][1] != int(state[-1][0])):
            said.append((time.monotonic(), int(state[-1][0]), 60 * int(state[-1][1]) + int(state[-1][2])))
    assert p.wait() == 0, (p.returncode, text)
    end = time.monotonic()
    later = [(end - when, left) for when, step, left in said if 20 <= step <= 45]
    assert len(later) > 3 and end - said[0][0] > 3, (said, end)
    assert sum(took / 2 - 1 < left < took * 2 + 1 for took, left in later) >= 0.8 * len(later), later


# check: a step as it takes on the device, not as it is enqueued; and what the run then takes on the disk.
def check_measures_what_is_done():
    p = subprocess.run([DEMIST, "check", *moons(path("unused"), "tune=off", "train.steps=1000", "train.ema=[0.9, 0.99]")], capture_output=True, text=True,
                       env=slowed(3))
    assert p.returncode == 0, p.stderr
    kernels = int(re.search(r"kernels: (\d+) calls", p.stdout).group(1))
    step = float(re.search(r"1000 steps: ([0-9.e-]+) s a step", p.stdout).group(1))
    assert step > 0.9 * 0.003 * kernels, (step, kernels, p.stdout)
    assert not os.path.exists(path("unused"))


run_tests([kernels_are_there, between_steps, within_a_step, speed_is_of_work_done, time_left_is_what_it_takes, check_measures_what_is_done])
