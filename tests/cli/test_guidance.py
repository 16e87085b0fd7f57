"""Guidance: the formulas of each plugin in double precision along whole walks, with every sampler, and what cannot work."""
import array
import json
import math

from cli import DEVICE, demist, floats, path, read_safetensors, run_tests, write_safetensors

MEANS, DEVIATIONS, WEIGHTS = [[1, 0.5], [-1, -0.2]], [0.4, 0.6], [1, 2]
WEAK = [0.8, 0.9]
GUIDED = {
    "none": {}, "cfg": {"scale": 3}, "cfgpp": {"scale": 0.6}, "apg": {"scale": 4, "parallel": 0.3, "norm": 0.5, "momentum": -0.5},
    "autoguidance": {"scale": 2},
}


def prepare():
    with open(path("exp.yaml"), "w") as f:
        f.write(f"""name: guided
device: {DEVICE}
tune: off
data: {{use: toy2d, shape: moons, labels: true}}
schedule: {{use: linear, timesteps: 1000}}
network: {{use: exact_gaussians, means: {sum(MEANS, [])}, deviations: {DEVIATIONS}, weights: {WEIGHTS}, classes: true}}
objective: {{use: simple, predict: v}}
sampler: {{use: ddim, steps: 8, clip: off}}
train: {{steps: 1, batch: 8, drop_condition: 0.1}}
""")
    demist("train", path("exp.yaml"), f"output={path('run')}")
    demist("train", path("exp.yaml"), f"output={path('weak')}", f"network.deviations={WEAK}", "schedule.use=cosine", "objective.predict=eps")
    for name in ("blind", "untold"):
        demist("train", path("exp.yaml"), f"output={path(name)}", "train.drop_condition=0", *(["network.classes=false"] if name == "blind" else []))
    demist("train", path("exp.yaml"), f"output={path('moons')}", "data.labels=false", "network.classes=false", "train.drop_condition=0")


def keys(use, **more):
    guide = [f"guidance.guide={path('weak')}"] if use == "autoguidance" else []
    return [f"guidance.use={use}", *guide, *(f"guidance.{k}={v}" for k, v in {**GUIDED[use], **more}.items())]


def sample(*more, run="run", count=6, steps=8, label=1, file="x.safetensors", code=0, options=()):
    out, err = demist("sample", path(run), "--tensors", path(file), "--force", "--class", label, "--count", count, f"sampler.steps={steps}", *more,
                      *options, code=code)
    if code:
        return err
    x = floats(read_safetensors(path(file))[0]["x"])
    return [x[2 * i:2 * i + 2] for i in range(count)]


# ---- the same in double precision


def exact(x, alpha, sigma, of, deviations=DEVIATIONS):
    """x0 and eps of the mixture of these components."""
    q, logs = [], []
    for k in of:
        v = (alpha * deviations[k]) ** 2 + sigma ** 2
        e = [a - alpha * m for a, m in zip(x, MEANS[k])]
        q.append([c / v for c in e])
        logs.append(math.log(WEIGHTS[k]) - sum(c * c for c in e) / v / 2 - math.log(v))
    w = [math.exp(a - max(logs)) for a in logs]
    w = [a / sum(w) for a in w]
    eps = [sigma * sum(a * p[d] for a, p in zip(w, q)) for d in range(2)]
    return [(a - sigma * e) / alpha for a, e in zip(x, eps)], eps


def mix(k, a, b):
    return [k * p + (1 - k) * q for p, q in zip(a, b)]


def dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def spread(a):
    m = sum(a) / len(a)
    return math.sqrt(sum((p - m) ** 2 for p in a) / len(a))


def guided(x, alpha, sigma, label, use, o, state):
    """x0 and eps as each paper has them."""
    c, u = exact(x, alpha, sigma, [label]), exact(x, alpha, sigma, [0, 1])
    if use == "none" or not o.get("interval", [-1e9, 1e9])[0] <= 2 * math.log(alpha / sigma) <= o.get("interval", [-1e9, 1e9])[1]:
        return c
    if use == "cfg":  # of v
        with_, without = ([alpha * e - sigma * a for a, e in zip(*p)] for p in (c, u))
        v = mix(o["scale"], with_, without)
        v = mix(o.get("rescale", 0), [a * spread(with_) / spread(v) for a in v], v)
        return [alpha * a - sigma * b for a, b in zip(x, v)], [sigma * a + alpha * b for a, b in zip(x, v)]
    if use == "cfgpp":
        return mix(o["scale"], c[0], u[0]), u[1]
    if use == "autoguidance":
        x0 = mix(o["scale"], c[0], exact(x, alpha, sigma, [label], WEAK)[0])
    else:  # apg
        d = [a - b + o["momentum"] * e for a, b, e in zip(c[0], u[0], state.get("average", [0, 0]))]
        state["average"] = d
        k = min(1, o["norm"] / math.sqrt(dot(d, d)))
        along = dot(d, c[0]) / dot(c[0], c[0])
        x0 = [a + (o["scale"] - 1) * k * (b + (o["parallel"] - 1) * along * a) for a, b in zip(c[0], d)]
    return x0, [(a - alpha * b) / sigma for a, b in zip(x, x0)]


def ddim(x, points, label, use, o):
    state = {}
    for (alpha, sigma), (a, s) in zip(points, points[1:]):
        x0, eps = guided(x, alpha, sigma, label, use, o, state)
        x = [a * p + s * e for p, e in zip(x0, eps)]
    return x


def points_of(steps):
    demist("schedule", path("exp.yaml"), f"sampler.steps={steps}", "--json", path(f"s{steps}.json"))
    s = json.load(open(path(f"s{steps}.json")))
    return [(math.sqrt(s["alpha_bar"][t]), math.sqrt(1 - s["alpha_bar"][t])) for t in s["timesteps"]] + [(1.0, 0.0)]


def each_is_its_formula():
    prepare()
    start = [[0.3, -1.1], [1.7, 0.2], [-0.6, 0.9], [0.1, 0.1], [-2.1, -0.4], [0.8, -0.7]]
    write_safetensors(path("noise"), {"x": ("F32", [6, 2], array.array("f", sum(start, [])).tobytes())})
    start = [list(floats(read_safetensors(path("noise"))[0]["x"])[2 * i:2 * i + 2]) for i in range(6)]
    points = points_of(8)
    middle = [2 * math.log(points[k][0] / points[k][1]) + d for k, d in ((3, -0.01), (5, 0.01))]
    cases = [(use, {}) for use in GUIDED] + [("cfg", {"rescale": 0.7}), ("cfg", {"interval": middle}), ("cfg", {"scale": -1.5}), ("apg", {"norm": 1e6})]
    seen = set()
    for use, more in cases:
        o = {**GUIDED[use], **more}
        got = sample(*keys(use, **more), options=["--noise", path("noise")])
        want = [ddim(x, points, 1, use, o) for x in start]
        worst = max(abs(a - b) for p, q in zip(got, want) for a, b in zip(p, q))
        assert worst < 2e-5, (use, more, worst)
        seen.add(tuple(map(tuple, got)))
    assert len(seen) == len(cases), "two of them are the same"


def nothing_to_guide_is_no_guidance():
    """Bit for bit, and without other predictions."""
    plain = sample()
    for more in (keys("none"), keys("cfg", scale=1), keys("cfg", scale=1, rescale=0.5), keys("apg", scale=1), keys("autoguidance", scale=1),
                 keys("cfg", interval=[900, 901])):
        assert sample(*more) == plain, more


def batches_do_not_matter():
    for use in GUIDED:
        a = sample(*keys(use), count=9, options=["--deterministic"])
        assert a == sample(*keys(use), "sampler.batch=2", count=9, options=["--deterministic"]), use
        assert a == sample(*keys(use), count=9, options=["--deterministic"]), use
        assert a[3:7] == sample(*keys(use), count=4, options=["--deterministic", "--first", "3"]), use


def with_every_sampler():
    """After 50 steps no further than twice ddim is from the same guided walk at 1,000, where it has no noise of its own."""
    samplers = "ddim", "heun", "dpmpp", "unipc", "deis", "pndm", "lms", "sa", "adaptive", "ddpm", "restart"
    for use in GUIDED:
        # the momentum of apg is one of predictions, and more of them are another momentum
        o = {"momentum": 0} if use == "apg" else {}
        truth = sample(*keys(use, **o), steps=1000, file="truth.safetensors")
        off = {}
        for name in samplers:
            if use == "cfgpp" and "guides eps apart" in (err := demist("check", path("exp.yaml"), *keys(use), f"sampler.use={name}", code=None)[1]):
                assert f"error: guidance.use: cfgpp: guides eps apart from x0, and sampler '{name}' does not read eps" in err, err
                continue
            x = sample(*keys(use, **o), f"sampler.use={name}", *(["sampler.tau=0"] if name == "sa" else []), steps=50)
            assert all(math.isfinite(v) for p in x for v in p), (use, name)
            off[name] = math.sqrt(sum((a - b) ** 2 for p, q in zip(x, truth) for a, b in zip(p, q)) / 12)
        # of cfgpp each step adds its share whatever its size, so it has no limit
        noisy = "ddpm", "restart"
        assert use == "cfgpp" or all(v <= 2 * off["ddim"] for k, v in off.items() if k not in noisy), (use, off)


def evaluations_are_counted():
    """Two predictions of one model are two, of a batch of twice the size."""
    def count(*more):
        err = demist("sample", path("run"), "--tensors", path("e.safetensors"), "--force", "--class", 0, "--profile", *more)[1]
        return sum(int(line.split()[2]) for line in err.splitlines() if line.startswith("custom exact_gaussians "))

    counts = count(), count(*keys("cfg")), count(*keys("autoguidance"))
    assert counts == (8, 8, 16), counts


def what_cannot_work():
    def refused(*more, says, run="run", label=1):
        if run:
            err = sample(*more, run=run, label=label, code=2)
        else:
            err = demist("check", path("exp.yaml"), *more, code=2)[1]
        assert "error: " + says in err, err

    cfg = keys("cfg")
    refused(*cfg, run="untold", says="guidance.use: cfg: needs a prediction without a class; the model is trained with train.drop_condition = 0")
    refused(*cfg, "train.drop_condition=0", run=None, says="guidance.use: cfg: needs a prediction without a class; the model is trained")
    refused(*cfg, "network.classes=false", "train.drop_condition=0", run=None, says="guidance.use: cfg: needs a prediction without a class; the network")
    refused(*cfg, "network.classes=false", "data.labels=false", "train.drop_condition=0", run=None,
            says="guidance.use: cfg: needs a prediction without a class; the data has no classes")
    refused("guidance.use=cfg", "guidance.scale=.inf", run=None, says="guidance.scale: '.inf'")
    refused("guidance.use=cfg", "guidance.interval=[1]", run=None, says="guidance.interval: takes two log-SNR, not 1")
    refused("guidance.use=cfg", "guidance.interval=[2,1]", run=None, says="guidance.interval: goes from 2 to 1")
    refused("guidance.use=cfg", f"guidance.guide={path('weak')}", run=None, says="guidance.guide: guidance 'cfg' uses no other model")
    refused("guidance.use=autoguidance", run=None, says="guidance.guide: guidance 'autoguidance' needs another model")
    refused("guidance.use=autoguidance", "guidance.guide=/nonexistent", run=None, says="guidance.guide: unable to open '/nonexistent'")
    refused("guidance.use=cfgg", run=None, says="guidance.use: there is no guidance 'cfgg'")
    refused(*keys("cfgpp"), "sampler.use=ddpm", says="guidance.use: cfgpp: guides eps apart from x0, and sampler 'ddpm' does not read eps")
    with open(path("three.npy"), "wb") as f:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 3), }".ljust(117) + b"\n"
        f.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + array.array("f", [0.5] * 24).tobytes())
    demist("train", path("exp.yaml"), f"output={path('three')}", "data.use=npy", f"data.file={path('three.npy')}", "network.classes=false",
           "network.means=[0, 1]", "train.drop_condition=0")
    refused("guidance.use=autoguidance", f"guidance.guide={path('three')}", run=None,
            says=f"guidance.guide: '{path('three')}' is of examples [3]; this model's are [2]")
    refused(*keys("autoguidance"), run="moons", label="0", says=f"guidance.guide: '{path('weak')}' knows 2 classes; this model's data have 0")
    # a model without classes is guided all the same; here by itself, so to where it goes anyway
    for name, more in (("m", []), ("n", ["guidance.use=autoguidance", f"guidance.guide={path('moons')}"])):
        demist("sample", path("moons"), *more, "--tensors", path(name + ".safetensors"))
    m, n = (floats(read_safetensors(path(name + ".safetensors"))[0]["x"]) for name in "mn")
    assert 0 < max(abs(a - b) for a, b in zip(m, n)) + 1e-9 < 1e-5


def a_run_keeps_its_guidance():
    """In its resolved file, its samples and its checkpoint; the same from there as from the command line."""
    demist("train", path("exp.yaml"), f"output={path('kept')}", *keys("cfg"))
    assert "use: cfg" in open(path("kept", "resolved.yaml")).read()
    assert "guidance" not in open(path("run", "resolved.yaml")).read()
    assert sample(run="kept") == sample(*keys("cfg")) != sample()


run_tests([each_is_its_formula, nothing_to_guide_is_no_guidance, batches_do_not_matter, with_every_sampler, evaluations_are_counted, what_cannot_work,
           a_run_keeps_its_guidance])
