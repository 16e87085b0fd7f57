"""Forward passes and training steps of demist and its peers, interleaved."""
import statistics

import numpy as np

import networks
import workers

BATCH = {"ddpm-cifar10": 8, "fashion": 64}
PEERS = ("pytorch", "channels-last", "compile", "openvino")
FORWARD_LIMIT = {"fp32": 1e-4, "highest": 1e-5, "bf16": 5e-2}   # of the largest output of PyTorch in fp32
TRAIN_LIMIT = {"fp32": 1e-4, "highest": 1e-4, "bf16": 3e-2}     # of the loss and the gradient's norm


def start(o, network, work, precision, batch):
    """Those that can do it, and why others cannot."""
    config = networks.CONFIGS[network]
    folder = networks.make(f"{o.data}/{network}", config)
    files = networks.inputs(folder, config, batch)
    there, absent = [], {}
    makers = [(f"demist {d}", lambda d=d: workers.demist(o.build, work, folder, files, batch, precision, d)) for d in o.device]
    if o.against:
        makers += [(f"against {d}", lambda d=d: workers.demist(o.against, work, folder, files, batch, precision, d))
                   for d in o.device]
    makers += [(p, lambda p=p: workers.peer(p, work, folder, files, batch, precision, o.threads)) for p in o.peers]
    if precision == "bf16" and not o.against:   # to compare with, not timed
        makers.append(("reference", lambda: workers.peer("pytorch", work, folder, files, batch, "fp32", o.threads)))
    for name, make in makers:
        try:
            w = make()
            w.name = name
            w.run(1, keep=False)
            there.append(w)
        except workers.NotAvailable as e:
            absent[name] = str(e)
    return there, absent


def agreement(there, work, precision):
    """Each one's largest difference from PyTorch in fp32, relative; of a training step, of loss and norm."""
    reference = next((w for w in there if w.name == ("reference" if precision == "bf16" else "pytorch")), None) or \
        next((w for w in there if w.name.startswith("against")), None)
    if not reference:
        return {}, 0
    if work == "forward":
        want = reference.out()
        scale = np.abs(want).max()
        return {w.name: float(np.abs(w.out() - want).max() / scale) for w in there}, FORWARD_LIMIT[precision]
    want = reference.ask("numbers")
    diff = {}
    for w in there:
        got = w.ask("numbers") if w is not reference else want
        diff[w.name] = max(abs(got[k] - want[k]) / abs(want[k]) for k in ("loss", "norm"))
    return diff, TRAIN_LIMIT[precision]


def measure(o, network, work, precision):
    batch = BATCH[network]
    there, absent = start(o, network, work, precision, batch)
    try:
        diff, limit = agreement(there, work, precision)
        timed = [w for w in there if w.name != "reference"]
        for w in timed:   # so many that a turn takes about o.turn seconds
            w.repeats = max(1, int(o.turn / min(w.run(1, keep=False))))
        for _ in range(o.rounds):
            for w in timed:
                w.run(w.repeats)
        rows = []
        for w in timed:
            best, middle = min(w.seconds), statistics.median(w.seconds)
            rows.append({"who": w.name, "best": best, "median": middle, "spread": (middle - best) / best, "rate": batch / best,
                         "repeats": len(w.seconds), "difference": diff.get(w.name), "agrees": diff.get(w.name, 0) <= limit or not w.name.startswith("demist"),
                         "host": statistics.median(w.host) if w.host else None, "peak_bytes": w.peak_bytes(), "about": w.about})
        return {"work": f"{network}-{work}-{precision}", "batch": batch, "rows": rows, "absent": absent}
    finally:
        for w in there:
            w.close()
