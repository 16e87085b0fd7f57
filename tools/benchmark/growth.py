"""How time and memory grow: with the batch, the resolution, width and depth of the network, the steps of a sampling, and
the size of the data set.

One row a point: seconds an image of a forward pass, and those of a training step; peak memory; for a sampling, the
host's share. Plotted by gnuplot into docs/images/ with --plots. --only PART: the series that have it in their names.
"""
import gzip
import json
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time

import numpy as np

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
# Files of so many images: Fashion-MNIST's, repeated beyond the 60,000 that there are.
IMAGES = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
SIZES = (("idx", 1000), ("idx", 10000), ("idx", 60000), ("idx, gzip", 60000), ("npy", 60000), ("npy", 600000))
DATA_STEPS, DATA_BATCH, DATA_LOG = 60, 16, 5
# So small a network that reading would show.
DATA_KEYS = ["network.use=unet", "network.channels=[8, 8]", "network.attend=[0, 0]", "network.layers=1", "network.groups=4", "tune=off",
             f"train.steps={DATA_STEPS}", f"train.batch={DATA_BATCH}", f"train.log_every={DATA_LOG}", "train.warmup=0"]


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


def write_images(path, form, images, n):
    """The first n images, from the beginning again where there are fewer; in pieces, so that this process stays small."""
    header = struct.pack(">4I", 0x803, n, *images.shape[1:])
    with (gzip.open(path, "wb", compresslevel=1) if form == "idx, gzip" else open(path, "wb")) as f:
        if form == "npy":
            np.lib.format.write_array_header_1_0(f, {"descr": "|u1", "fortran_order": False, "shape": (n, *images.shape[1:])})
        else:
            f.write(header)
        for first in range(0, n, len(images)):
            f.write(images[:n - first].tobytes())


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def train_on(o, folder, path, form):
    """Of a step, between two lines of the log: the best seconds, and the processor's on average, which others' work does not
    change; and the most memory that the process had resident."""
    run = os.path.join(folder, "run")
    data = ["data.use=npy", f"data.file={path}"] if form == "npy" else ["data.use=idx", f"data.train_images={path}"]
    command = [os.path.join(o.build, "demist"), "train", "configs/moons.yaml", f"device={o.device[0]}", f"output={run}", *data, *DATA_KEYS,
               "--overwrite", "-q"]
    log, marks, ended, peak = os.path.join(run, "log.jsonl"), {}, 0, 0
    shutil.rmtree(run, ignore_errors=True)
    with tempfile.TemporaryFile("w+") as errors:
        p = subprocess.Popen(command, stderr=errors)
        while not ended:
            time.sleep(0.02)
            peak = max(peak, workers.peak_bytes(p.pid))
            ended, status = os.waitpid(p.pid, os.WNOHANG)
            if not ended and os.path.exists(log):
                with open(log) as f:
                    marks.setdefault(sum(1 for _ in f), processor_seconds(p.pid))
        p.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if p.returncode:
            raise workers.NotAvailable(workers.why(errors.read().strip().splitlines(), p.returncode))
    with open(log) as f:
        rates = [json.loads(line)["images_per_s"] for line in f]
    marks.pop(0, None)
    steps = (max(marks) - min(marks)) * DATA_LOG
    return DATA_BATCH / max(rates[1:]), (marks[max(marks)] - marks[min(marks)]) / steps, peak


def data_sizes(o):
    """Training on data sets of many sizes, each a file in a scratch folder. The first run is for the caches."""
    rows = []
    with gzip.open(IMAGES) as f:
        images = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    os.makedirs(o.data, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=o.data) as folder:
        path = os.path.join(os.path.abspath(folder), "images")
        for form, n in (SIZES[0], *SIZES):
            write_images(path, form, images, n)
            seconds, processor, peak = train_on(o, folder, path, form)
            rows.append({"series": "data set size", "value": n, "work": "train", "form": form, "batch": DATA_BATCH, "seconds": seconds,
                         "processor": processor, "peak_bytes": peak})
            show(rows[-1]) if len(rows) > 1 else None
    return rows[1:]


def measure(o):
    rows, absent = [], {}
    wanted = [s for s in (*SERIES, "steps", "data set size") if not o.only or o.only in s]
    for series, points in SERIES.items():
        if series not in wanted:
            continue
        for value, (config, batch) in points.items():
            name = f"growth-{config['sample_size']}-{config['block_out_channels'][0]}-{config['layers_per_block']}"
            for work in ("forward", "train"):
                p = point(o, o.device[0], work, config, batch, name)
                rows.append(dict(p, series=series, value=value, work=work, batch=batch))
                show(rows[-1])
    folder = networks.make(f"{o.data}/fashion", BASE) if "steps" in wanted else None
    for steps in STEPS if folder else ():
        w = workers.demist(o.build, "sample", folder, ("-", "-"), 8, "fp32", o.device[0], [f"sampler.steps={steps}"])
        w.run(1, keep=False)
        w.run(o.rounds)
        rows.append({"series": "steps", "value": steps, "work": "sample", "batch": 8, "seconds": min(w.seconds), "peak_bytes": w.peak_bytes(),
                     "host": statistics.median(w.host) / statistics.median(w.seconds)})
        show(rows[-1])
        w.close()
    if "data set size" in wanted and os.path.exists(IMAGES):
        rows += data_sizes(o)
    elif "data set size" in wanted:
        absent["data set size"] = f"there is no {IMAGES}"
    if o.plots:
        os.makedirs(o.plots, exist_ok=True)
        if all(s in wanted for s in SERIES):
            plot(rows, o.plots)
        if any(r["series"] == "data set size" for r in rows):
            plot_sizes([r for r in rows if r["series"] == "data set size"], o.plots)
    return {"work": "growth", "rows": rows, "absent": absent}


def show(r):
    each = r["seconds"] / (r["value"] if r["series"] == "steps" else r["batch"])
    print(f"  {r['series']:10} {r['value']:4} {r['work']:8} batch {r['batch']:3}  {1e3 * each:9.3f} ms {'a step' if r['series'] == 'steps' else 'an image'}  "
          + (f"host {100 * r['host']:.2f} %" if "host" in r else f"{1e3 * r['processor'] / r['batch']:.3f} ms of the processor, {r['form']}") + f"  {r['peak_bytes'] / 1e6:7.0f} MB"
          + (f"  {r['flops'] / r['seconds'] / 1e9:6.0f} GFLOP/s" if r.get("flops") else ""), flush=True)


def plot(rows, folder):
    """One picture: a panel a series, milliseconds an image and MB against what grows."""
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


def plot_sizes(rows, folder):
    """Milliseconds an image and MB against the number of images, a line a kind of file."""
    forms = list(dict.fromkeys(r["form"] for r in rows))
    script = ["set terminal pngcairo size 800,400", f"set output '{folder}/growth-data.png'", "set key left center", "set logscale x",
              "set xrange [500:1200000]", "set yrange [0:*]", "set y2range [0:*]", "set xlabel 'images in the data set'",
              "set ylabel 'ms an image'", "set y2label 'MB'", "set y2tics"]
    for i, form in enumerate(forms):
        script.append(f"$d{i} << EOD\n" + "".join(f"{r['value']} {1e3 * r['processor'] / r['batch']} {r['peak_bytes'] / 1e6}\n" for r in rows if r["form"] == form) + "EOD")
    script.append("plot " + ", ".join(f"$d{i} using 1:2 with linespoints title '{form}, ms of the processor', $d{i} using 1:3 axes x1y2 with linespoints dashtype 2 title '{form}, MB'"
                                      for i, form in enumerate(forms)))
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
