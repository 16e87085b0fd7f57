"""Runs each command with one call after another failing, each distinct call stack once, as a module for LD_PRELOAD does it
(callstacks.h): what sweep_allocations.py and sweep_io.py share. FAULT_SECONDS (1200): all of it at most."""
import collections
import glob
import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

DEMIST, SOURCE = os.environ["DEMIST"], os.environ["DEMIST_SOURCE"]
DEVICE = os.environ.get("DEMIST_DEVICE", "auto")
SECONDS = float(os.environ.get("FAULT_SECONDS", "1200"))
WORK = tempfile.mkdtemp(prefix="demist-fault-")

EXPERIMENT = f"""seed: 1
device: {DEVICE}
output: run
tune: off
data: {{use: toy2d}}
schedule: {{use: linear, timesteps: 20}}
network: {{use: mlp, width: 16, depth: 1}}
objective: {{use: simple}}
sampler: {{use: ddpm, steps: 2}}
train: {{steps: 2, batch: 8, micro_batch: 8, ema: [0.99]}}
"""
KEPT = "kept/checkpoints/step-00000002.safetensors"
PICTURE = "sw/cells/*.png"  # of the sweep's one cell
# command: what it writes; what it says may differ (times), what it writes may not.
COMMANDS = {
    "check": (["check", "e.yaml"], []),
    "train": (["train", "e.yaml"], ["run/checkpoints/step-00000002.safetensors", "run/resolved.yaml"]),
    "resume": (["resume", "run", "train.steps=3"], ["run/checkpoints/step-00000003.safetensors"]),
    "sample": (["sample", "kept", "--count", "2", "--out", "out.png"], ["out.png"]),
    "tensors": (["sample", KEPT, "--count", "2", "--tensors", "out.safetensors"], ["out.safetensors"]),
    "eval": (["eval", "kept", "--metric", "loss", "--count", "8"], []),
    "inspect": (["inspect", KEPT], []),
    "schedule": (["schedule", "e.yaml"], []),
    "formula": (["schedule", "e.yaml", "schedule.use=formula"], []),
    "images": (["check", "e.yaml", "--data", "data.use=image_folder", "data.folder=photos", "data.size=8", "data.channels=3",
                "network={use: unet, channels: [8], layers: 1, groups: 4, attend: [0]}"], []),
    "preview": (["inspect", "photos", "data.size=8", "data.channels=3", "--preview", "out.png"], ["out.png"]),
    "classes": (["inspect", "kinds", "data.labels=true"], []),
    "diffusers": (["sample", "model", "sampler.steps=1", "--out", "out.png"], ["out.png"]),
    "predict": (["predict", "kept", "--in", "in.safetensors", "--out", "out.safetensors"], ["out.safetensors"]),
    "sweep": (["sweep", "kept", "--over", "sampler.steps=1,2", "--metric", "loss", "--out", "sw", "--samples", "0"], []),
    "pictures": (["sweep", "kept", "--over", "sampler.steps=1", "--metric", "loss", "--out", "sw"],
                 ["sw/sweep.md", PICTURE]),
    "runs": (["runs", ".", "--json"], []),
    "curves": (["plot", "kept", "kept", "--out", "out.png"], ["out.png"]),
    "compare": (["compare", "kept", "kept", "--no-samples", "--out", "out.html"], []),
    "plugins": (["plugins"], []),
    "plugin": (["plugins", "sampler/ddpm"], []),
    "plot": (["plot", "kept", "--out", "out.png"], []),
    "report": (["report", "kept", "--no-samples", "--out", "out.html"], ["out.html"]),
    "init": (["init", "new.yaml"], ["new.yaml"]),
    "init_images": (["init", "new.yaml", "images", "photos"], ["new.yaml"]),
    "docs": (["docs"], []),
    "devices": (["devices"], []),
    "transformer": (["export", "pipeline", "--to", "diffusers", "out"], ["out/transformer/config.json", "out/transformer/*.safetensors"]),
    "export": (["export", "model", "--to", "diffusers", "out"], ["out/unet/config.json", "out/scheduler/scheduler_config.json"]),
}


def run(args, env=None):
    try:
        p = subprocess.run([DEMIST, *args, "--progress", "none"], cwd=WORK, capture_output=True, timeout=120,
                           env={**os.environ, "DEMIST_CACHE": os.path.join(WORK, "cache"), **(env or {})})
        return p.returncode, p.stdout.decode("utf8", "replace"), p.stderr.decode("utf8", "replace")
    except subprocess.TimeoutExpired:
        return "timeout", "", ""


def prepare(name):
    for f in ("run", "out.png", "out.html", "out.safetensors", "new.yaml", "sw", "out"):
        path = os.path.join(WORK, f)
        shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
    if name == "resume":
        shutil.copytree(os.path.join(WORK, "kept"), os.path.join(WORK, "run"))


def steady(text):
    return re.sub(r"[0-9.:]+ ?(m?s|h|min|images/s|MB|GB)?\b", "#", text)


def content(path):
    if path.endswith(".md"):  # a table that has seconds
        return steady(open(path).read())
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def written(files):
    return [[content(f) for f in sorted(glob.glob(os.path.join(WORK, pattern)))] for pattern in files]


def functions(frames):
    """What backtrace_symbols_fd wrote, FILE(SYMBOL+OFFSET)[ADDRESS], as names where addr2line knows them."""
    names = []
    for file, symbol, offset in re.findall(r"^(.*?)\((.*?)\+?(0x[0-9a-f]+)\)", "\n".join(frames), re.M):
        if not symbol and os.path.basename(file) == os.path.basename(DEMIST):
            p = subprocess.run(["addr2line", "-f", "-e", DEMIST, hex(int(offset, 16) - 1)], capture_output=True, text=True)
            symbol, place = (p.stdout.split() + ["", ""])[:2]
            symbol += " " + os.path.basename(place)
        names.append(symbol or os.path.basename(file))
    return names


class Case:
    """One call that fails, and what came of it."""

    def __init__(self, command, line):
        self.command = command
        self.hash, self.call, self.nth = line.split()
        self.trace = os.path.join(WORK, "trace")

    def run(self, module, env):
        prepare(self.command)
        if os.path.exists(self.trace):
            os.remove(self.trace)
        self.code, self.out, self.err = run(COMMANDS[self.command][0], {
            "LD_PRELOAD": module, "FAULT_FAIL": self.hash, "FAULT_NTH": self.nth, "FAULT_TRACE": self.trace, **env})
        self.met = os.path.exists(self.trace)

    def same_output(self, good, said):
        return written(COMMANDS[self.command][1]) == good and steady(self.out) == said

    def frames(self):
        return functions(open(self.trace).read().splitlines()[2:12]) if self.met else ["not met again"]

    def last_line(self):
        return re.sub(r"[0-9]+", "N", self.err.strip().splitlines()[-1])[:150] if self.err.strip() else ""


def call_stacks(name, module, env):
    """The lines of FAULT_LIST for a command, in an order of chance: where time runs out, what was tried lies everywhere."""
    listed = os.path.join(WORK, "stacks")
    if os.path.exists(listed):
        os.remove(listed)
    prepare(name)
    run(COMMANDS[name][0], {"LD_PRELOAD": module, "FAULT_LIST": listed, **env})
    lines = open(listed).read().splitlines()
    random.Random(len(lines)).shuffle(lines)
    return lines


def sweep(name, until, module, variants, judge, env):
    """variants(case) gives environments to try; judge(case, env, good, said) says what is wrong, or None or "known"."""
    prepare(name)
    code, out, err = run(COMMANDS[name][0])
    if code:
        print(f"{name}: exit {code} without a fault: {err[-300:]}")
        return 1
    good, said = written(COMMANDS[name][1]), steady(out)
    lines = call_stacks(name, module, env)
    codes, wrong, tried, runs = collections.Counter(), collections.OrderedDict(), 0, 0
    for line in lines:
        if time.monotonic() > until:
            break
        tried += 1
        for variant in variants(Case(name, line)):
            case = Case(name, line)
            case.run(module, variant)
            runs += 1
            codes[case.code if case.met else "not met again"] += 1
            why = judge(case, variant, good, said)
            if why == "known":
                codes["a library's own"] += 1
            elif why:
                wrong.setdefault(why, []).append((case, variant, case.frames()))
    print(f"{name}: {len(lines)} calls, {tried} tried, {runs} runs: {dict(codes)}", flush=True)
    for why, where in wrong.items():
        print(f"  {why} ({len(where)} times)")
        for case, variant, frames in where[:4]:
            print(f"    {case.hash} {case.nth} {case.call} {variant or ''} {' < '.join(frames)}", flush=True)
    return sum(len(w) for w in wrong.values())


def inputs(path):
    """What predict is given: two points at two times."""
    header = b'{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"t":{"dtype":"I32","shape":[2],"data_offsets":[16,24]}}'
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + struct.pack("<4f2i", 0.5, -0.5, 0.25, 1, 3, 7))


def make_inputs():
    with open(os.path.join(WORK, "e.yaml"), "w") as f:
        f.write(EXPERIMENT)
    photos = os.path.join(SOURCE, "tests/unit/data/photos")
    os.mkdir(os.path.join(WORK, "photos"))
    for f in ("alpha.webp", "cmyk.jpg", "turn6.jpg", "turn6.png", "turn8.webp"):
        shutil.copy(os.path.join(photos, f), os.path.join(WORK, "photos"))
    for kind in "cat", "dog", "horse":
        os.makedirs(os.path.join(WORK, "kinds", kind))
        shutil.copy(os.path.join(photos, "turn6.png"), os.path.join(WORK, "kinds", kind))
    shutil.copytree(os.path.join(SOURCE, "tests/parity/data/diffusers/plain"), os.path.join(WORK, "model"))
    shutil.copytree(os.path.join(SOURCE, "tests/parity/data/diffusers/dit"), os.path.join(WORK, "pipeline"))
    with open(os.path.join(WORK, "pipeline/model_index.json"), "w") as f:
        f.write('{"id2label": {"0": "boot, wellington", "1": "shark"}}')
    inputs(os.path.join(WORK, "in.safetensors"))
    code, _, err = run(["train", "e.yaml", "output=kept"])
    assert code == 0, err


def main(module, names, variants, judge, env=None):
    try:
        make_inputs()
        since, bad = time.monotonic(), 0
        for i, name in enumerate(names):
            left = since + SECONDS - time.monotonic()
            bad += sweep(name, time.monotonic() + left * 2 / (len(names) - i + 1), os.path.abspath(module), variants, judge, env or {})
        print(f"{bad} failing calls that were not handled" if bad else "every call that failed was handled")
        sys.exit(1 if bad else 0)
    finally:
        if not os.environ.get("FAULT_KEEP"):
            shutil.rmtree(WORK, ignore_errors=True)
