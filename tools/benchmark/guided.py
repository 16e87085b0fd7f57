"""What guidance costs: sampling with two predictions a step (classifier-free, of the same weights in one batch) beside
sampling with one, in turns, and the host's share of a guided step. The network is that of
configs/fashion-mnist-classes.yaml after a step of training: what weights hold changes no time."""
import os
import statistics
import subprocess

import processes
import workers

BATCH, STEPS = 8, 20
RATIO_GOAL, HOST_GOAL = 2.05, 0.02
OWN_THREAD = "this runtime computes on the calling thread too, so that its share says nothing"
PLAIN, GUIDED = ["guidance.use=none"], ["guidance.use=cfg", "guidance.scale=3"]


def make(o):
    folder = os.path.join(o.data, "guided")
    done = subprocess.run([os.path.join(o.build, "demist"), "train", "configs/fashion-mnist-classes.yaml",
                           f"device={o.device[0]}", f"output={folder}", "train.steps=1", "train.warmup=0",
                           f"train.batch={BATCH}", "train.sample_every=0", "--overwrite", "-q"],
                          capture_output=True, text=True)
    if done.returncode:
        raise workers.NotAvailable(workers.why(done.stderr.strip().splitlines(), done.returncode))
    return folder


def turns(o, folder, device):
    both = [workers.demist(o.build, "sample", folder, ("-", "-"), BATCH, "fp32", device,
                           [f"sampler.steps={STEPS}", *keys]) for keys in (PLAIN, GUIDED)]
    try:
        for w in both:
            w.run(1, keep=False)
        for _ in range(o.rounds):
            for w in both:
                w.run(max(1, round(o.turn / w.run(1)[0])))
    finally:
        for w in both:
            w.close()
    return both


def verdict(met):
    return "met" if met else "NOT met"


def measure(o):
    rows, absent, folder = [], {}, None
    for device in o.device:
        try:
            folder = folder or make(o)
            plain, guided = turns(o, folder, device)
        except workers.NotAvailable as e:
            absent[f"demist {device}"] = str(e)
            print(f"  demist {device}: not available: {e}")
            continue
        for w, name in (plain, "plain"), (guided, "guided"):
            r = processes.row(f"{w.name} {name}", w.seconds)
            rows.append(dict(r, host=statistics.median(w.host) / r["median"]))
            print(f"  {r['who']:20} {1e3 * r['best'] / STEPS:8.3f} ms a step of {BATCH}, "
                  f"median +{100 * r['spread']:.0f} %, host {100 * rows[-1]['host']:.2f} %")
        ratio, host = min(guided.seconds) / min(plain.seconds), rows[-1]["host"]
        print(f"  {ratio:.3f} times a plain step, goal {RATIO_GOAL}: {verdict(ratio <= RATIO_GOAL)}; host: "
              + (OWN_THREAD if host > 0.5 else f"goal {100 * HOST_GOAL:.0f} %: {verdict(host <= HOST_GOAL)}"),
              flush=True)
    return {"work": "guided", "rows": rows, "absent": absent}
