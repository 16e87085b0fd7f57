"""tools/bench: demist against what a user would pick instead, on the same machine, weights, shapes and threads.

    tools/bench [WORK ...] [--device auto,0:0] [--rounds 5] [--turn 1] [--peers pytorch,compile] [--json F] [--first]
    tools/bench drawn --seed S [--seconds N] [--only PART] [...]   networks drawn by the seed, beside PyTorch
    tools/bench [WORK ...] --against BUILD        another build folder of demist is the peer, in turns (forward, train)

WORK: NETWORK-forward-PRECISION or NETWORK-train-PRECISION (networks ddpm-cifar10 and fashion; fp32, bf16, and highest, which
is fp32 with matmul_precision=highest), drawn (not begun for more networks after --seconds),
sample-fp32, sample-bf16, first-use, memory, ops (--only PART of an op's name and extents), growth (--plots FOLDER; --only PART of what grows),
guided (sampling with classifier-free guidance beside sampling without),
ranks (training over MPI on this machine; --only PART of a network's name);
or a part of such a name (all that have it). Without one, all.
Turns of about --turn seconds go round --rounds times; the best time of each counts.
With DEMIST_CPU=avx512|avx2|sse PyTorch, its oneDNN and its MKL are held to the same.
--first: on Linux, as root, before all other programs of the machine (SCHED_RR): keep it short where others work too.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

import drawn
import growth
import guided
import ops
import processes
import ranks
import steps
import workers

GOALS = {"ddpm-cifar10-forward-fp32": 2, "ddpm-cifar10-train-fp32": 2.5, "ddpm-cifar10-forward-bf16": 1.5, "ddpm-cifar10-train-bf16": 2.5,
         "fashion-forward-fp32": 2, "fashion-train-fp32": 2, "fashion-forward-bf16": 1.5, "fashion-train-bf16": 2, "sample-fp32": 4,
         "sample-bf16": 8, "first-use": 1,
         "ddpm-cifar10-forward-highest": 1.5, "ddpm-cifar10-train-highest": 1.5}
MEMORY_GOALS = {8: 0.7, 32: 0.5}
FIRST_LAUNCH_GOAL = 0.15
OWN_WORDS = ("ops", "growth", "guided", "ranks")   # works that show what they measure as it comes


def works():
    for network in ("ddpm-cifar10", "fashion"):
        for precision in ("fp32", "highest", "bf16"):
            for work in ("forward", "train"):
                yield f"{network}-{work}-{precision}", lambda o, n=network, w=work, p=precision: steps.measure(o, n, w, p)
    yield "sample-fp32", lambda o: processes.sampling(o, "fp32")
    yield "sample-bf16", lambda o: processes.sampling(o, "bf16")
    yield "first-use", processes.first_use
    yield "memory", processes.memory
    yield "ops", ops.measure
    yield "growth", growth.measure
    yield "guided", guided.measure
    yield "ranks", ranks.measure
    yield "drawn", None   # many


def options():
    p = argparse.ArgumentParser(prog="tools/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("works", nargs="*", metavar="WORK")
    p.add_argument("--device", default="auto", help="OpenCL devices of demist, separated by commas")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--turn", type=float, default=1.0)
    p.add_argument("--peers")
    p.add_argument("--against", metavar="BUILD")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seconds", type=float, default=7200)
    p.add_argument("--only", help=argparse.SUPPRESS)
    p.add_argument("--plots", help=argparse.SUPPRESS)
    p.add_argument("--json", metavar="F")
    p.add_argument("--first", action="store_true")
    p.add_argument("--build", default="build", help=argparse.SUPPRESS)
    o = p.parse_args()
    peers = o.peers if o.peers is not None else "" if o.against else ",".join(steps.PEERS)
    o.device, o.peers = o.device.split(","), [w for w in peers.split(",") if w]
    if o.against and not os.access(os.path.join(o.against, "tools/benchmark/bench_steps"), os.X_OK):
        p.error(f"'{o.against}' is not a build folder of demist: it has no tools/benchmark/bench_steps")
    if "drawn" in o.works and o.peers == list(steps.PEERS):
        o.peers = ["pytorch", "channels-last"]
    o.data = os.path.join(o.build, "bench-data")
    names = [n for n, _ in works() if not o.against or "-forward-" in n or "-train-" in n]
    all_but_many = [n for n in names if n != "drawn"]
    o.chosen = [n for n in names if n in o.works] + [n for n in names if n not in o.works and any(w in n for w in o.works if w not in names)]
    if not o.works:
        o.chosen = all_but_many
    if wrong := [w for w in o.works if not any(w in n for n in names)]:
        p.error(f"no work is called {wrong[0]}; there are {', '.join(names)}")
    return o


def machine(o):
    def first(path, key):
        with open(path) as f:
            return next((s.split(":", 1)[1].strip() for s in f if s.startswith(key)), "?")
    versions = subprocess.run([sys.executable, "-c", "import torch, diffusers, openvino, numpy; print(f'torch {torch.__version__}, diffusers "
                               "{diffusers.__version__}, openvino {openvino.__version__}, numpy {numpy.__version__}')"], capture_output=True, text=True)
    devices = subprocess.run([os.path.join(o.build, "demist"), "devices", "--list"], capture_output=True, text=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    flags = set(first("/proc/cpuinfo", "flags").split())
    return {"cpu": first("/proc/cpuinfo", "model name"), "cores": os.cpu_count(), "threads": o.threads,
            "features": [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16") if f in flags],
            "system": platform.platform(), "peers": versions.stdout.strip(), "devices": devices.stdout.strip().splitlines(),
            "demist": commit.stdout.strip(), "date": time.strftime("%Y-%m-%d %H:%M")}


def gain(rows, key):
    """How many times the best demist is better than the best peer, smaller being better; None without both."""
    ours = [r[key] for r in rows if r["who"].startswith("demist") and r.get("agrees", True)]
    peers = [r[key] for r in rows if not r["who"].startswith("demist")]
    return min(peers) / min(ours) if ours and peers else None


def verdict(o, ratio, goal):
    if ratio is None:
        return ""
    if o.against:
        return f"{ratio:.3f} x the speed of {o.against}"
    if goal is None:
        return f"{ratio:.2f} x the best peer"
    return f"{ratio:.2f} x the best peer, goal {goal}: {'met' if ratio >= goal else 'NOT met'}"


def show(o, r):
    if r["work"] in OWN_WORDS:
        return
    held = os.environ.get("DEMIST_CPU")
    print(f"\n{r['work']}" + (f", batch {r['batch']}" if "batch" in r else "") + (f", held to {held}" if held else ""))
    if r["work"] == "memory":
        for batch, goal in MEMORY_GOALS.items():
            rows = [x for x in r["rows"] if x["batch"] == batch]
            for x in rows:
                print(f"  {x['who']:18} batch {batch:3}  {x['peak_bytes'] / 1e9:8.2f} GB resident at most")
            ratio = gain(rows, "peak_bytes")
            if ratio:
                print(f"  {1 / ratio:.2f} of PyTorch's, goal {goal}: {'met' if 1 / ratio <= goal else 'NOT met'}")
        return
    for x in r["rows"]:
        rate = f"{x['rate']:9.1f} images/s" if "rate" in x else ""
        more = f"  differs by {x['difference']:.1e}{'' if x['agrees'] else ': WRONG'}" if x.get("difference") is not None else ""
        more += f"  first launch after {x['first_launch']:.3f} s" if "first_launch" in x else ""
        if held and not x["who"].startswith("demist"):
            more += "  not known to be held" if x["who"] == "openvino" else f"  says {x.get('about', {}).get('processor')}"
        more += f"  host {100 * x['host'] / x['median']:.1f} %" if x.get("host") else ""
        print(f"  {x['who']:18} {rate} {x['best']:9.4f} s  median +{100 * x['spread']:.0f} %  of {x['repeats']:3}{more}")
    for who, why in r["absent"].items():
        print(f"  {who:18} not available: {why}")
    text = verdict(o, gain(r["rows"], "best"), GOALS.get(r["work"]))
    if text:
        print(f"  {text}")


def table(results):
    """As docs/performance.md has it."""
    print("\n| work | demist | PyTorch | torch.compile | OpenVINO | ratio to the best | goal |\n| --- | --- | --- | --- | --- | --- | --- |")
    for r in results:
        if r["work"] in ("memory", *OWN_WORDS):
            continue
        unit = "rate" if "rate" in (r["rows"] or [{}])[0] else "best"
        pick = max if unit == "rate" else min
        cells = []
        for kinds in (("demist",), ("pytorch", "channels-last"), ("compile",), ("openvino",)):
            v = [x[unit] for x in r["rows"] if x["who"].split(" ")[0] in kinds]
            cells.append((f"{pick(v):.1f}" if unit == "rate" else f"{pick(v):.2f} s") if v else "")
        ratio = gain(r["rows"], "best")
        print(f"| {r['work']} | {' | '.join(cells)} | {f'{ratio:.2f}' if ratio else ''} | {GOALS.get(r['work'], '')} |")


def main():
    o = options()
    os.environ.update(workers.held())   # before PyTorch is imported here
    if o.first:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    about = machine(o)
    print(f"{about['cpu']}, {about['cores']} cores ({' '.join(about['features'])}); {about['peers']}; demist {about['demist']} on {', '.join(o.device)}")
    results = []
    for name, work in works():
        if name in o.chosen:
            print(f"\n{name}") if name in OWN_WORDS else None
            def keep(o, result):
                results.append(result)
                show(o, result)
                sys.stdout.flush()
                if o.json:
                    with open(o.json, "w") as f:
                        json.dump({"machine": about, "results": results}, f, indent=1)

            if name == "drawn":
                print("\n".join(drawn.summary(drawn.measure(o, keep), gain)))
            else:
                keep(o, work(o))
    if len(results) > 1 and not o.against:
        table(results)
    wrong = any(not x.get("agrees", True) for r in results for x in r["rows"])
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
