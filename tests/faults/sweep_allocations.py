"""Every allocation of each command fails once: each distinct call stack, known by allocfault.so. Wanted each time: exit 6
and a message that names memory, or exit 0 and the same output where only a cache was lost. Never a crash, another exit
code, or an output that differs.
  sweep_allocations.py ALLOCFAULT.so [COMMAND...]     ALLOCFAULT_SECONDS (1200): all of it at most"""
import collections
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
SECONDS = float(os.environ.get("ALLOCFAULT_SECONDS", "1200"))
MODULE = os.path.abspath(sys.argv[1])
WORK = tempfile.mkdtemp(prefix="demist-alloc-")

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
# libwebp 1.5 itself crashes where it has no memory for one table of a lossless image's alpha, and muParser throws through C.
KNOWN = {-11: "WebPDecode", -6: "mupCreate"}
KEPT = "kept/checkpoints/step-00000002.safetensors"
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
    "diffusers": (["sample", "model", "sampler.steps=1", "--out", "out.png"], ["out.png"]),
    "predict": (["predict", "kept", "--in", "in.safetensors", "--out", "out.safetensors"], ["out.safetensors"]),
    "sweep": (["sweep", "kept", "--over", "sampler.steps=1,2", "--metric", "loss", "--out", "sw", "--samples", "0"], []),
    "pictures": (["sweep", "kept", "--over", "sampler.steps=1", "--metric", "loss", "--out", "sw"], ["sw/sweep.md"]),
    "runs": (["runs", ".", "--json"], []),
    "curves": (["plot", "kept", "kept", "--out", "out.png"], ["out.png"]),
    "compare": (["compare", "kept", "kept", "--no-samples", "--out", "out.html"], []),
    "plugins": (["plugins"], []),
    "plugin": (["plugins", "sampler/ddpm"], []),
    "plot": (["plot", "kept", "--out", "out.png"], []),
    "report": (["report", "kept", "--no-samples", "--out", "out.html"], ["out.html"]),
    "init": (["init", "new.yaml"], ["new.yaml"]),
    "docs": (["docs"], []),
    "devices": (["devices"], []),
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


def written(files):
    return [hashlib.sha256(open(os.path.join(WORK, f), "rb").read()).hexdigest() if os.path.exists(os.path.join(WORK, f)) else None
            for f in files]


def steady(text):
    return re.sub(r"[0-9.:]+ ?(m?s|h|min|images/s|MB|GB)?\b", "#", text)


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


def sweep(name, until):
    args, files = COMMANDS[name]
    stacks_file = os.path.join(WORK, "stacks")
    if os.path.exists(stacks_file):
        os.remove(stacks_file)
    prepare(name)
    code, out, err = run(args)
    if code:
        print(f"{name}: exit {code} without a fault: {err[-300:]}")
        return 1
    good, said = written(files), steady(out)
    prepare(name)
    run(args, {"LD_PRELOAD": MODULE, "ALLOCFAULT_LIST": stacks_file})
    stacks = open(stacks_file).read().split()
    random.Random(len(stacks)).shuffle(stacks)  # where time runs out, what was tried lies everywhere
    codes, wrong, tried = collections.Counter(), collections.OrderedDict(), 0
    for h in stacks:
        if time.monotonic() > until:
            break
        prepare(name)
        trace = os.path.join(WORK, "trace")
        if os.path.exists(trace):
            os.remove(trace)
        code, out, err = run(args, {"LD_PRELOAD": MODULE, "ALLOCFAULT_FAIL": h, "ALLOCFAULT_TRACE": trace})
        tried += 1
        codes[code] += 1
        last = err.strip().splitlines()[-1] if err.strip() else ""
        if not os.path.exists(trace):
            codes["not met again"] += 1
        elif code == 6 and "memory" in err or code == 0 and written(files) == good and steady(out) == said:
            continue
        if os.path.exists(trace) or code not in (0, 6):
            frames = functions(open(trace).read().splitlines()[2:12]) if os.path.exists(trace) else ["not met again"]
            if KNOWN.get(code) in frames:
                codes["a library's own"] += 1
                continue
            why = f"exit {code}: {re.sub(r'[0-9]+', 'N', last)[:150]}"
            wrong.setdefault(why, []).append((h, frames))
    print(f"{name}: {len(stacks)} call stacks, {tried} tried: {dict(codes)}", flush=True)
    for why, where in wrong.items():
        print(f"  {why} ({len(where)} times)")
        for h, frames in where[:4]:
            print(f"    {h} {' < '.join(frames)}", flush=True)
    return sum(len(w) for w in wrong.values())


def inputs(path):
    """What predict is given: two points at two times."""
    header = b'{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"t":{"dtype":"I32","shape":[2],"data_offsets":[16,24]}}'
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + struct.pack("<4f2i", 0.5, -0.5, 0.25, 1, 3, 7))


def main():
    with open(os.path.join(WORK, "e.yaml"), "w") as f:
        f.write(EXPERIMENT)
    photos = os.path.join(SOURCE, "tests/unit/data/photos")
    os.mkdir(os.path.join(WORK, "photos"))
    for f in ("alpha.webp", "cmyk.jpg", "turn6.jpg", "turn6.png", "turn8.webp"):
        shutil.copy(os.path.join(photos, f), os.path.join(WORK, "photos"))
    shutil.copytree(os.path.join(SOURCE, "tests/parity/data/diffusers/plain"), os.path.join(WORK, "model"))
    inputs(os.path.join(WORK, "in.safetensors"))
    code, _, err = run(["train", "e.yaml", "output=kept"])
    assert code == 0, err
    names = sys.argv[2:] or list(COMMANDS)
    since, bad = time.monotonic(), 0
    for i, name in enumerate(names):
        left = since + SECONDS - time.monotonic()
        bad += sweep(name, time.monotonic() + left * 2 / (len(names) - i + 1))
    print(f"{bad} allocations that were not handled" if bad else "every allocation that failed was handled")
    sys.exit(1 if bad else 0)


try:
    main()
finally:
    if not os.environ.get("ALLOCFAULT_KEEP"):
        shutil.rmtree(WORK, ignore_errors=True)
