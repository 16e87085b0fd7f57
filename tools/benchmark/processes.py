"""Whole processes: sampling from the start of the program to the PNG, the first use of a machine, peak memory."""
import os
import statistics
import subprocess
import sys
import tempfile
import time

import networks
import workers

IMAGES, STEPS = 16, 50
MEMORY_BATCHES = (8, 32)


def demist_sampling(o, folder, device, precision, env, out):
    """Seconds of the process, and those until its first launch."""
    note = out + ".launch"
    keys = [f"device={device}", f"sampler.steps={STEPS}"] + ([] if precision == "fp32" else [f"precision={precision}"])
    command = [os.path.join(o.build, "demist"), "sample", folder, *keys, "--count", str(IMAGES), "--out", out, "--force", "-q"]
    began = time.monotonic()
    env = dict(env, BENCH_BEGAN=f"{began:.6f}", BENCH_FIRST_LAUNCH=note, LD_PRELOAD=os.path.join(o.build, "tools/benchmark/libfirst_launch.so"))
    p = subprocess.run(command, env=env, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if p.returncode:
        raise workers.NotAvailable(workers.why(p.stderr.strip().splitlines(), p.returncode))
    with open(note) as f:
        return seconds, float(f.read())


def torch_sampling(o, folder, precision, out):
    env = workers.peer_environment()
    began = time.monotonic()
    subprocess.run([sys.executable, os.path.join(workers.HERE, "sample_torch.py"), folder, str(IMAGES), str(STEPS), precision, out, str(o.threads)],
                   env=env, check=True, capture_output=True)
    return time.monotonic() - began


def fresh(d):
    """An environment whose caches are empty; without tuning."""
    names = {"DEMIST_CACHE": "demist", "POCL_CACHE_DIR": "pocl", "XDG_CACHE_HOME": "xdg", "HOME": "home"}
    for name in names.values():
        os.makedirs(os.path.join(d, name), exist_ok=True)
    return dict(os.environ, DEMIST_TUNE="off", **{k: os.path.join(d, v) for k, v in names.items()})


def row(who, seconds, launches=None):
    best, middle = min(seconds), statistics.median(seconds)
    r = {"who": who, "best": best, "median": middle, "spread": (middle - best) / best, "repeats": len(seconds)}
    return dict(r, first_launch=min(launches)) if launches else r


def sampling(o, precision):
    """Caches warm: each ran once before."""
    folder = networks.make(f"{o.data}/fashion", networks.CONFIGS["fashion"])
    rows, absent, times = [], {}, {}
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "x.png")
        for i in range(o.rounds + 1):
            for device in o.device:
                name = f"demist {device}"
                try:
                    if name not in absent:
                        seconds = demist_sampling(o, folder, device, precision, os.environ, out)
                        times.setdefault(name, []).append(seconds)
                except workers.NotAvailable as e:
                    absent[name] = str(e)
            if "pytorch" in o.peers:
                times.setdefault("pytorch", []).append((torch_sampling(o, folder, precision, out),))
    for name, t in times.items():
        rows.append(row(name, [x[0] for x in t[1:]], [x[1] for x in t[1:]] if len(t[0]) > 1 else None))
    return {"work": f"sample-{precision}", "images": IMAGES, "steps": STEPS, "rows": rows, "absent": absent}


def first_use(o):
    """Caches empty, in fp32."""
    folder = networks.make(f"{o.data}/fashion", networks.CONFIGS["fashion"])
    rows = []
    for device in o.device:
        seconds = []
        for _ in range(min(o.rounds, 2)):
            with tempfile.TemporaryDirectory() as d:
                seconds.append(demist_sampling(o, folder, device, "fp32", fresh(d), os.path.join(d, "x.png")))
        rows.append(row(f"demist {device}", [s for s, _ in seconds], [l for _, l in seconds]))
    if "pytorch" in o.peers:
        with tempfile.TemporaryDirectory() as d:
            rows.append(row("pytorch", [torch_sampling(o, folder, "fp32", os.path.join(d, "x.png"))]))
    return {"work": "first-use", "images": IMAGES, "steps": STEPS, "rows": rows, "absent": {}}


def memory(o):
    """Peak resident memory of a process that trains ddpm-cifar10, after two steps."""
    config = networks.CONFIGS["ddpm-cifar10"]
    folder = networks.make(f"{o.data}/ddpm-cifar10", config)
    rows = []
    for batch in MEMORY_BATCHES:
        files = networks.inputs(folder, config, batch)
        makers = {f"demist {d}": lambda d=d: workers.demist(o.build, "train", folder, files, batch, "fp32", d) for d in o.device}
        if "pytorch" in o.peers:
            makers["pytorch"] = lambda: workers.peer("pytorch", "train", folder, files, batch, "fp32", o.threads)
        for name, make in makers.items():
            w = make()
            w.run(2)
            rows.append({"who": name, "batch": batch, "peak_bytes": w.peak_bytes(), "device_bytes": w.about.get("device_bytes")})
            w.close()
    return {"work": "memory", "rows": rows, "absent": {}}
