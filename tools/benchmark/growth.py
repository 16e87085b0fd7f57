"""How time and memory grow: with the batch, the resolution, width and depth of the network, the steps of a sampling.

One row a point: seconds an image of a forward pass, and those of a training step; peak memory; for a sampling, the
host's share. Plotted by gnuplot into docs/images/ with --plots.
"""
import os
import statistics
import subprocess

import networks
import workers

BASE = dict(networks.CONFIGS["fashion"])


def wide(channels):
    return dict(BASE, block_out_channels=(channels, 2 * channels, 2 * channels))


# Series: what grows, and for each value the network and the batch.
SERIES = {
    "batch": {n: (BASE, n) for n in (1, 2, 4, 8, 16, 32, 64, 128)},
    "resolution": {s: (dict(BASE, sample_size=s), 8) for s in (16, 32, 64, 128)},
    "width": {c: (wide(c), 8) for c in (32, 64, 128)},
    "depth": {d: (dict(BASE, layers_per_block=d), 8) for d in (1, 2, 4, 8)},
}
STEPS = (10, 20, 50, 100)


def point(o, device, work, config, batch, name):
    folder = networks.make(f"{o.data}/{name}", config)
    w = workers.demist(o.build, work, folder, networks.inputs(folder, config, batch), batch, "fp32", device)
    try:
        w.run(1, keep=False)
        w.run(o.rounds)
        return {"seconds": min(w.seconds), "host": statistics.median(w.host) / statistics.median(w.seconds), "peak_bytes": w.peak_bytes(),
                "arena_bytes": w.about["arena_bytes"], "flops": w.about["flops"]}
    finally:
        w.close()


def measure(o):
    rows = []
    for series, points in SERIES.items():
        for value, (config, batch) in points.items():
            name = f"growth-{config['sample_size']}-{config['block_out_channels'][0]}-{config['layers_per_block']}"
            for work in ("forward", "train"):
                p = point(o, o.device[0], work, config, batch, name)
                rows.append(dict(p, series=series, value=value, work=work, batch=batch))
                show(rows[-1])
    folder = networks.make(f"{o.data}/fashion", BASE)
    for steps in STEPS:
        w = workers.demist(o.build, "sample", folder, ("-", "-"), 8, "fp32", o.device[0], [f"sampler.steps={steps}"])
        w.run(1, keep=False)
        w.run(o.rounds)
        rows.append({"series": "steps", "value": steps, "work": "sample", "batch": 8, "seconds": min(w.seconds), "peak_bytes": w.peak_bytes(),
                     "host": statistics.median(w.host) / statistics.median(w.seconds)})
        show(rows[-1])
        w.close()
    if o.plots:
        plot(rows, o.plots)
    return {"work": "growth", "rows": rows, "absent": {}}


def show(r):
    each = r["seconds"] / (r["value"] if r["series"] == "steps" else r["batch"])
    print(f"  {r['series']:10} {r['value']:4} {r['work']:8} batch {r['batch']:3}  {1e3 * each:9.3f} ms {'a step' if r['series'] == 'steps' else 'an image'}  "
          f"host {100 * r['host']:.2f} %  {r['peak_bytes'] / 1e6:7.0f} MB" + (f"  {r['flops'] / r['seconds'] / 1e9:6.0f} GFLOP/s" if r.get("flops") else ""),
          flush=True)


def plot(rows, folder):
    """One picture: a panel a series, milliseconds an image and MB against what grows."""
    os.makedirs(folder, exist_ok=True)
    script = ["set terminal pngcairo size 1200,700", f"set output '{folder}/growth.png'", "set multiplot layout 2,2", "set logscale xy",
              "set key top left", "set ylabel 'ms an image'", "set y2label 'MB'", "set y2tics", "set logscale y2"]
    for series in SERIES:
        for work in ("forward", "train"):
            of = [r for r in rows if r["series"] == series and r["work"] == work]
            script.append(f"${series}_{work} << EOD\n" + "".join(f"{r['value']} {1e3 * r['seconds'] / r['batch']} {r['peak_bytes'] / 1e6}\n" for r in of) + "EOD")
        ticks = ", ".join(f"'{v}' {v}" for v in SERIES[series])
        script.append(f"set xlabel '{series}'; set xtics ({ticks}); plot " + ", ".join(
            f"${series}_{w} using 1:2 with linespoints title '{w}, ms', ${series}_{w} using 1:3 axes x1y2 with lines dashtype 2 title '{w}, MB'"
            for w in ("forward", "train")))
    subprocess.run(["gnuplot"], input="\n".join(script) + "\nunset multiplot\n", text=True, check=True)
