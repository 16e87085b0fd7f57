"""Experiments from the command line: every combination that check accepts trains and samples, the others exit 2 with a
reason; bad input gets its exit code and a message; the information commands."""
import gzip
import itertools
import json
import os
import re
import signal
import struct
import subprocess
import time

from cli import DEMIST, DEVICE, SOURCE, config, demist, floats, moons, path, read_safetensors, run_tests

IMAGES = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"


def write(name, text):
    with open(path(name), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path(name)


def idx(name, n, h, w, data=None):
    return write(name, b"\0\0\x08\x03" + struct.pack(">3I", n, h, w) + (data if data is not None else bytes(i * 37 % 256 for i in range(n * h * w))))


def idx_data(name="i.idx", n=24, h=8, w=8):
    return ["data.use=idx", f"data.train_images={idx(name, n, h, w)}"]


UNET = ["network.use=unet", "network.channels=[8,8]", "network.attend=[0,1]", "network.layers=1", "network.groups=4"]
MLP = ["network.use=mlp", "network.width=16", "network.depth=1"]
NPY_HEAD = "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 2), }"


def npy_points(name="points.npy"):
    head = NPY_HEAD + " " * (-(len(NPY_HEAD) + 11) % 64) + "\n"
    return write(name, b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<80f", *[(i % 7) / 3 - 1 for i in range(80)]))


def every_combination():
    """Every schedule with every objective on points and images, samplers and settings in turn: what the checks take trains and
    samples, the rest is refused with the reason. All plugins that there are take part."""
    kinds = {k: re.findall(r"^  (\w+)", block, re.M) for k, block in re.findall(r"^(\w+)\n((?:  .*\n)+)", demist("plugins")[0], re.M)}
    samplers = [[f"sampler.use={s}"] for s in kinds["samplers"]] + [["sampler.use=ddpm", "sampler.variance=fixed_large"], ["sampler.use=ddim", "sampler.eta=0.5"]]
    need = {"betas": ["schedule.timesteps=3", "schedule.betas=[0.1, 0.2, 0.3]", "sampler.steps=3"]}
    objectives = [[f"objective.use={o}"] for o in kinds["objectives"]] + [["objective.use=simple", f"objective.predict={p}"] for p in ("x0", "v")]
    data = {"points": ["data.use=toy2d", "data.shape=swiss_roll", *MLP], "npy": ["data.use=npy", f"data.file={npy_points()}", *MLP],
            "images": [*idx_data(), *UNET]}
    accepted = refused = j = 0
    for (kind, d), schedule, objective in itertools.product(data.items(), kinds["schedules"], objectives):
        j += 1
        if (kind == "npy") != (kind != "images" and j % 3 == 0):
            continue  # both kinds of points by turns
        chosen = samplers[j % len(samplers)]
        if chosen == ["sampler.use=adaptive"]:  # few steps, whatever a network has learned in one
            chosen = [*chosen, "sampler.steps=20", "sampler.rtol=1", "sampler.atol=1e4"]
        args = [config("moons.yaml"), f"device={DEVICE}", f"schedule.use={schedule}", *need.get(schedule, ["schedule.timesteps=20", "sampler.steps=4"]),
                f"sampler.spacing={['leading', 'trailing', 'linspace'][j % 3]}", "train.steps=1", "train.batch=4", *objective, *d, *chosen]
        run = path(f"combo-{j}")
        err = demist("train", *args, f"output={run}", "-q", code=None)[1]
        if not os.path.exists(run):
            assert re.search(r": error: \w+\.\w+", err), (args, err)
            demist("check", *args, code=2)
            refused += 1
            continue
        demist("sample", run, "--count", 2, "--tensors", path("combo"), "--force", "-q")
        assert all(v - v == 0 for v in floats(read_safetensors(path("combo"))[0]["x"])), args
        accepted += 1
    assert accepted >= 2 * 6 * 3 and refused > 0, (accepted, refused)
    for wrong, part in (["data.use=toy2d", *UNET], "for images"), ([*idx_data(), *MLP], "for points"):
        assert part in demist("check", config("moons.yaml"), *wrong, code=2)[1]


def bad_experiments():
    base = "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: mlp}\nobjective: {use: simple}\nsampler: {use: ddim}\n"
    good = write("good.yaml", base)
    demist("check", good, f"device={DEVICE}")
    cases = [
        ("schedule: {use: lineer}\n" + base.replace("schedule: {use: linear}\n", ""), "linear"),
        (base + "train: {stpes: 3}\n", "steps"),
        (base + "train: {lr: fast}\n", "lr"),
        (base + "train: {ema: [0.1, 0.2, 0.3, 0.4, 0.5]}\n", "ema"),
        (base.replace("linear", "../linear"), "name"),
        (base + "train: {lr: 1e-3, lr: 1e-4}\n", "lr"),
        (base + "train: [1, 2\n", ":"),
        ("a: &a [1,1]\n" + "".join(f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n" for p, c in zip("abcdefg", "bcdefgh")) + base, ""),
        (base.replace("use: linear", "use: linear, timesteps: 0"), "timesteps"),
        (base.replace("use: ddim", "use: ddim, steps: 2000"), "steps"),
        ("", ""),
        (base.replace("use: toy2d", "use: idx"), "train_images"),
    ]
    for text, part in cases:
        file = write("bad.yaml", text)
        _, err = demist("train", file, f"device={DEVICE}", f"output={path('bad-run')}", code=2)
        assert "bad.yaml" in err and part in err, (text, err)
        assert not os.path.exists(path("bad-run"))
    _, err = demist("check", write("two.yaml", base.replace("mlp", "mlpp") + "train: {lr: -1, batch: 0}\n"), code=2)
    assert err.count("error:") >= 3, err
    _, err = demist("train", good, "schedule.beta_start=2", code=2)
    assert "command line: argument 1" in err, err
    demist("train", path("not-there.yaml"), code=None)


def bad_data():
    def refused(code, part, *data):
        _, err = demist("train", config("moons.yaml"), f"device={DEVICE}", f"output={path('bad-data')}", *data, *UNET, code=code)
        assert part in err, err
        assert not os.path.exists(path("bad-data/checkpoints"))

    refused(5, "cut.idx", "data.use=idx", f"data.train_images={idx('cut.idx', 10, 8, 8, b'x' * 100)}")
    refused(5, "long.idx", "data.use=idx", f"data.train_images={idx('long.idx', 2, 8, 8, b'x' * 200)}")
    refused(2, "0 examples", "data.use=idx", f"data.train_images={idx('none.idx', 0, 8, 8, b'')}")
    refused(5, "text.idx", "data.use=idx", f"data.train_images={write('text.idx', 'hello')}")
    refused(5, "bomb.idx.gz", "data.use=idx", f"data.train_images={write('bomb.idx.gz', gzip.compress(bytes(30000000)))}")
    refused(2, "sides", *idx_data("odd.idx", 4, 7, 9))
    refused(2, "missing", "data.use=idx", f"data.train_images={path('missing.idx')}")
    # Images and labels of both splits at once, each in a line of its own, and what is wrong with both splits once.
    files = {k: write(f"no-{k}", f"nothing of {k}, though long enough") for k in ("train_images", "train_labels", "test_images", "test_labels")}
    _, err = demist("check", config("moons.yaml"), f"device={DEVICE}", "data.use=idx", *[f"data.{k}={f}" for k, f in files.items()], *UNET, code=5)
    assert all(err.count(f"'{f}' is not an IDX file") == 1 for f in files.values()), err
    _, err = demist("check", config("moons.yaml"), f"device={DEVICE}", "data.use=npy", f"data.file={files['train_images']}", "data.test_every=9", code=5)
    assert err.count("is not an npy file") == 1, err


def devices():
    _, err = demist("train", *moons("none")[:2], "device=9:9", code=4)
    assert "9:9" in err
    _, err = demist("train", config("moons.yaml"), f"output={path('none')}", code=4, env={"OCL_ICD_VENDORS": "/nonexistent/"})
    assert "OCL_ICD_VENDORS" in err and ".icd" in err, err


def too_large_a_batch():
    """A batch that no memory holds is cut into micro-batches, or refused with a reason where that is forbidden."""
    _, err = demist("check", config("fashion-mnist.yaml"), f"device={DEVICE}", "train.batch=1048576", "train.micro_batch=1048576", code=6)
    assert "micro_batch" in err, err


def schedules():
    demist("schedule", config("moons.yaml"), "schedule.timesteps=7", "sampler.steps=3", "--json", path("s.json"))
    s = json.load(open(path("s.json")))
    assert len(s["beta"]) == len(s["alpha_bar"]) == len(s["log_snr"]) == len(s["posterior_variance"]) == 7
    assert s["posterior_variance"][0] == 0 and s["timesteps"] == [6, 4, 1], s["timesteps"]
    ab = 1
    for b, a in zip(s["beta"], s["alpha_bar"]):
        ab *= 1 - b
        assert abs(ab - a) < 1e-15
    demist("schedule", config("moons.yaml"), "schedule.zero_terminal_snr=true", "objective.predict=v", "--json", path("s.json"), "--force")
    assert json.load(open(path("s.json")))["log_snr"][-1] is None
    demist("schedule", config("moons.yaml"), "--plot", path("s.png"))
    assert open(path("s.png"), "rb").read(4) == b"\x89PNG"
    demist("schedule", config("moons.yaml"), "schedule.timesteps=0", code=2)


def information():
    commands = re.findall(r"^  ([a-z][a-z-]*) {2,}\S", demist("--help")[0], re.M)
    assert {"train", "sample", "predict", "schedule", "check", "plot", "plugins", "devices", "doctor", "inspect", "docs"} <= set(commands)
    for command in commands:
        out, _ = demist(command, "--help")
        assert out.startswith(f"usage: demist {command}"), command
        assert demist(command, "--version")[0].startswith("demist ")
        demist(command, "--no-such-option", code=2)
    assert "plugin interface" in demist("--version")[0]
    demist("--help")
    demist(code=2)
    demist("fly", code=2)
    assert "cosine" in demist("plugins")[0]
    only = demist("plugins", "sampler")[0]
    assert "ddim" in only and "cosine" not in only
    refused = demist("plugins", "--color", "blue", code=2)[1]
    assert "blue" in refused
    assert "max_beta" in demist("plugins", "schedule/cosine")[0]
    _, err = demist("plugins", "sampler/ddmi", code=2)
    assert "ddim" in err
    assert sum(d["default"] for d in json.loads(demist("devices", "--json")[0])) == 1
    assert demist("devices")[0].count("(auto: ") == 1
    assert "OK" in demist("doctor")[0]
    assert subprocess.run([os.environ["DEMIST"], "devices"], stdout=open("/dev/full", "w"), stderr=subprocess.DEVNULL).returncode == 1
    assert "60000" in demist("inspect", IMAGES)[0]
    demist("inspect", write("junk", "junk"), code=None)
    reference = open(os.path.join(SOURCE, "docs/config.md")).read()
    assert demist("docs")[0] == reference, "docs/config.md is not what demist docs prints"


def progress():
    last = demist("train", *moons("p", "train.steps=30"), "--progress", "json")[1].split("\n")
    lines = [json.loads(x) for x in last if x.startswith("{")]
    assert lines[-1]["step"] == lines[-1]["steps"] == 30 and lines[-1]["loss"] > 0 and lines[-1]["images_per_s"] > 0, last
    assert "\033[32m" in demist("sample", path("p"), "--tensors", path("p.st"), "--progress", "bar", "--color", "always")[1]
    assert "\033[32m" not in demist("sample", path("p"), "--tensors", path("p.st"), "--force", "--progress", "bar", env={"NO_COLOR": "1"})[1]
    assert demist("sample", path("p"), "--tensors", path("p.st"), "--force", "--progress", "none", env={"DEMIST_LOG": "warning"})[1].count("\n") <= 1
    # How many steps it takes is not known beforehand: the share of the work is shown.
    adaptive = ["sample", path("p"), "--count", 4, "sampler.batch=2", "--tensors", path("p.st"), "--force", "sampler.use=adaptive", "sampler.rtol=1"]
    last = demist(*adaptive, "--progress", "json")[1].split("\n")
    lines = [json.loads(x) for x in last if x.startswith("{")]
    assert lines[-1]["step"] == lines[-1]["steps"] == 100 and lines[-1]["percent"], last
    assert "\nsample 100%, " in "\n" + demist(*adaptive, "--progress", "plain")[1]


def cache():
    mine = path("cache")
    for folder, name in (("programs", "0" * 32 + ".bin"), ("programs", "mine.bin"), ("choices", "a" * 32 + ".json")):
        os.makedirs(os.path.join(mine, folder), exist_ok=True)
        open(os.path.join(mine, folder, name), "w").write("x" * 1000)
    out = demist("cache", env={"DEMIST_CACHE": mine})[0]
    assert "1 programs" in out and "1 choices" in out, out
    demist("cache", "clear", env={"DEMIST_CACHE": mine})
    assert os.listdir(os.path.join(mine, "programs")) == ["mine.bin"] and not os.listdir(os.path.join(mine, "choices"))
    demist("cache", "burn", code=2)
    demist("cache", env={"DEMIST_CACHE": "/proc/none"}, code=1)


def beginnings():
    demist("init", path("mine.yaml"))
    demist("check", path("mine.yaml"), f"device={DEVICE}")
    demist("init", path("mine.yaml"), code=2)
    demist("train", path("mine.yaml"), f"device={DEVICE}", f"output={path('mine')}", "train.steps=4", "train.batch=8", "-q")
    demist("resume", path("mine"), "train.steps=6", "-q")
    assert os.path.exists(path("mine/checkpoints/step-00000006.safetensors"))
    _, err = demist("resume", path("mine"), "train.lr=1", code=2)
    assert "train.lr" in err, err
    assert demist("help", "train")[0] == demist("train", "--help")[0]


def selftest():
    out, _ = demist("selftest", "--device", DEVICE)
    assert out.rstrip().endswith(" 0 failed") and "FAIL" not in out, out
    demist("selftest", "--device", "9:9", code=4)


def selftest_report():
    out, err = demist("selftest", "--device", DEVICE, "--json")
    report = json.loads(out)
    assert report["failed"] == 0 and report["passed"] == len(report["checks"]) >= 60 and not report["stopped"], out[-500:]
    assert report["device"]["device"] == DEVICE and report["device"]["driver"] and report["demist"], report["device"]
    by_name = {c["check"]: c for c in report["checks"]}
    conv = [c for name, c in by_name.items() if name.startswith("conv2d")]
    assert conv and all(c["result"] == "passed" and 0 <= c["error"] < 2e-5 and c["seconds"] >= 0 for c in conv), conv
    assert by_name["U-Net, 20 training steps"]["error"] < 2e-4 and " ... OK" in err, err[-500:]


def selftest_stops():
    p = subprocess.Popen([DEMIST, "selftest", "--device", DEVICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = ""
    while " ... OK" not in line:  # the device is open, the checks have begun
        line = p.stdout.readline()
    p.send_signal(signal.SIGTERM)
    since = time.monotonic()
    out, err = p.communicate(timeout=120)
    assert p.returncode == 143 and "stopping after this check" in err and "stopped: " in out.splitlines()[-1], (p.returncode, out, err)
    assert time.monotonic() - since < 30 and out.count(" ... ") < 40, out


def check_prints_the_experiment():
    out, _ = demist("check", config("fashion-mnist.yaml"), f"device={DEVICE}", "--explain")
    assert "parameters: 1062497" in out and "conv2d" in out and "device memory" in out, out[-3000:]
    resolved = write("resolved.yaml", "\n".join(x for x in out.split("\n") if not x.startswith("# ") and "MFLOP" not in x))
    demist("check", resolved)


run_tests([information, progress, cache, beginnings, selftest, selftest_report, selftest_stops, schedules, check_prints_the_experiment,
           bad_experiments, bad_data, devices, too_large_a_batch, every_combination])
