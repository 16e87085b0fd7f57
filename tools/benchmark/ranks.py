"""Training on several ranks of one machine: what communication costs, and whether the model of demist plan foretells it.

A rank has one core and one thread. Against two ranks stand two runs of one rank each, begun together: both have the same
share of caches and memory. The model has the seconds that demist plan measures on a core while the other is busy alike,
and the latency and bandwidth that MPI alone reaches between the ranks. Four ranks share the cores: shown, not judged."""
import json
import os
import re
import shutil
import statistics
import subprocess

import numpy as np

import networks
import workers

OVERHEAD_GOAL, MODEL_GOAL = 0.03, 0.15
EACH = {"ddpm-cifar10": 32, "fashion": 32}   # images of a rank
STEPS, WARM = 6, 2
THREAD = {"POCL_MAX_PTHREAD_COUNT": "1", "DEMIST_TUNE": "off"}
ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_btl_base_warn_component_unused": "0", "OMPI_MCA_hwloc_base_binding_policy": "none", **THREAD}


def experiment(o, name):
    """Of the network, on random images."""
    config = networks.CONFIGS[name]
    folder = networks.make(f"{o.data}/{name}", config)
    file, images = f"{o.data}/{name}-ranks.yaml", f"{o.data}/{name}-ranks.npy"
    size = config["sample_size"]
    np.save(images, np.random.default_rng(1).integers(0, 256, (256, config["in_channels"], size, size)).astype(np.uint8))
    demist = os.path.join(o.build, "demist")
    subprocess.run([demist, "init", file, "--from", folder, "-f", "-q"], check=True, capture_output=True)
    return file, ["data={use: npy, file: " + os.path.abspath(images) + "}", f"train.steps={STEPS}", "train.log_every=1", "train.save_every=0",
                  "train.sample_every=0", "train.validate_every=0"]


def on_cores(program, n, cores):
    """The command for n ranks of a program, each on one of these cores."""
    each = [["-n", "1", "taskset", "-c", str(cores[k % len(cores)]), *program] for k in range(n)]
    return each[0][2:] if n == 1 else ["mpirun", *sum((e + [":"] for e in each), [])[:-1]]


def train(o, file, keys, n, cores, out):
    """Starts n ranks."""
    shutil.rmtree(out, ignore_errors=True)
    demist = [os.path.join(o.build, "demist"), "train", file, *keys, f"output={os.path.abspath(out)}", "-q"]
    command = on_cores(demist, n, cores)
    return subprocess.Popen(command, env={**os.environ, **ENV}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(p, out, batch):
    """Seconds of each step, but for the first ones, of the sum in it, and of what of that passed beside the backward pass."""
    text, _ = p.communicate()
    if p.returncode:
        raise workers.NotAvailable(workers.why(text.strip().splitlines(), p.returncode))
    with open(os.path.join(out, "log.jsonl")) as f:
        lines = [json.loads(line) for line in f if '"images_per_s"' in line][WARM:]
    return [batch / x["images_per_s"] for x in lines], *([x.get(k, 0) for x in lines] for k in ("reduce_seconds", "reduce_hidden"))


def plan(o, file, keys, latency, bandwidth, cores):
    """The model's seconds of a step of 1 and 2 ranks, and what of it is hidden, by what it measures while the other core does the same."""
    command = [os.path.join(o.build, "demist"), "plan", file, *keys, "--each", "--ranks", "2", "--bandwidth", f"{bandwidth * 1e-9:.9g}",
               "--latency", f"{latency * 1e6:.9g}"]
    both = [subprocess.Popen(on_cores(command, 1, [c]), env={**os.environ, **THREAD}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for c in cores]
    (out, err), _ = (p.communicate() for p in both)
    found = re.findall(r"^ +[12] +\d+ +(\S+) +(\S+) +(\S+) +(\S+) ", out, re.M)   # ranks, examples, compute, ring, tree, hidden
    if len(found) != 2:
        raise workers.NotAvailable(workers.why(err.strip().splitlines(), both[0].returncode))
    return [(compute + min(ring, tree) - hidden, hidden) for compute, ring, tree, hidden in (map(float, row) for row in found)]


def network_of(o, n, cores):
    program = [os.path.join(o.build, "tools/benchmark/bench_all_reduce")]
    out = subprocess.run(on_cores(program, n, cores), env={**os.environ, **ENV}, capture_output=True, text=True, check=True)
    return map(float, out.stdout.split())


def one(o, name, cores):
    file, keys = experiment(o, name)
    each = EACH[name]
    keys = [*keys, f"device={o.device[0]}"]
    outs = [f"{o.data}/ranks-{k}" for k in range(2)]
    pair, two, reduced, hidden = [], [], [], []
    for _ in range(o.rounds):
        both = [train(o, file, [*keys, f"train.batch={each}"], 1, [cores[k]], outs[k]) for k in range(2)]
        pair += [max(x) for x in zip(*(finish(p, out, each)[0] for p, out in zip(both, outs)))]
        seconds, sums, beside = finish(train(o, file, [*keys, f"train.batch={2 * each}"], 2, cores, outs[0]), outs[0], 2 * each)
        two += seconds
        reduced += sums
        hidden += beside
    four = map(statistics.median, finish(train(o, file, [*keys, f"train.batch={4 * each}"], 4, cores, outs[0]), outs[0], 4 * each))
    latency, bandwidth = network_of(o, 2, cores)
    alone, together = plan(o, file, [*keys, f"train.batch={each}"], latency, bandwidth, cores)
    rows = [("two runs of one rank", statistics.median(pair), None, None, alone), ("2 ranks", *map(statistics.median, (two, reduced, hidden)), together),
            ("4 ranks", *four, None)]
    return {"network": name, "each": each, "overhead": statistics.median(two) / statistics.median(pair) - 1, "latency": latency, "bandwidth": bandwidth,
            "rows": [{"who": w, "best": s, "reduce": r, "hidden": h, "model": m} for w, s, r, h, m in rows]}


def measure(o):
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2 or not os.access(os.path.join(o.build, "tools/benchmark/bench_all_reduce"), os.X_OK):
        print("  needs two cores and MPI")
        return {"work": "ranks", "rows": [], "absent": {}}
    results = []
    for name in EACH:
        if o.only and o.only not in name:
            continue
        r = one(o, name, cores)
        results.append(r)
        print(f"  {name}, {r['each']} images a rank; MPI alone: {1e6 * r['latency']:.1f} us, {r['bandwidth'] / 1e9:.2f} GB/s")
        for x in r["rows"]:
            more = f", of it {x['reduce']:.4f} s the sum over ranks, {x['hidden']:.4f} s of that beside the backward pass" if x["reduce"] is not None else ""
            if x["model"] is not None:
                off = x["model"][0] / x["best"] - 1
                more += (f"; the model says {x['model'][0]:.4f} s, {x['model'][1]:.4f} s of the sum hidden, {100 * off:+.1f} %, "
                         f"goal {100 * MODEL_GOAL:.0f} %: {'met' if abs(off) <= MODEL_GOAL else 'NOT met'}")
            print(f"    {x['who']:22} {x['best']:9.4f} s a step{more}")
        print(f"    communication costs {100 * r['overhead']:.1f} % of a step, goal under {100 * OVERHEAD_GOAL:.0f} %: "
              f"{'met' if r['overhead'] < OVERHEAD_GOAL else 'NOT met'}", flush=True)
    return {"work": "ranks", "rows": [], "results": results, "absent": {}}
