"""What the installed package does; run by test_python.py inside the venv: python_cases.py FOLDER."""
import ctypes
import faulthandler
import inspect
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import traceback

import numpy as np

import demist
from demist import _library

WORK = sys.argv[1]
DEVICE = os.environ.get("DEMIST_DEVICE", "auto")
MOONS = os.path.join(os.environ["DEMIST_SOURCE"], "configs/moons.yaml")
TINY = {"device": DEVICE, "network.width": 8, "network.depth": 1, "train.batch": 8, "train.steps": 6, "train.warmup": 0,
        "train.log_every": 1, "tune": "off", "sampler.steps": 4}


def run(name):
    return os.path.join(WORK, name)


def raises(kind, says, f, *args, **more):
    try:
        f(*args, **more)
    except kind as e:
        assert type(e) is kind and says in str(e), (type(e), str(e))
        return e
    raise AssertionError(f"no {kind.__name__}")


def structs_lie_as_the_header_has_them():
    out = subprocess.check_output([os.environ["DEMIST_LAYOUT"]], text=True)
    theirs = {m[1]: (int(m[3]), int(m[2])) for m in re.finditer(r"(\S+\.\S+): (\d+) bytes at (\d+)", out)}
    for name, struct in _library.STRUCTS.items():
        fields = {k: v for k, v in theirs.items() if k.startswith(name + ".")}
        assert name == "dm_shape" or len(fields) == len(struct._fields_), name
        for field, _ in struct._fields_:
            if name != "dm_shape":
                d = getattr(struct, field)
                assert (d.offset, d.size) == fields[f"{name}.{field}"], (name, field)
                size = re.search(rf"^{name}: (\d+) bytes", out, re.M)
                assert ctypes.sizeof(struct) == int(size[1]), name


def trains_with_progress():
    seen = []
    folder = demist.train(MOONS, {**TINY, "output": run("a")}, progress=seen.append)
    assert os.path.samefile(folder, run("a"))
    assert [p.step for p in seen] == list(range(7)) and {p.steps for p in seen} == {6}
    assert seen[-1].what == "train" and seen[-1].loss > 0 and np.isnan(seen[0].loss)


def samples_an_array():
    model = demist.open(run("a"))
    x = model.sample(16, steps=3, seed=1)
    assert x.dtype == np.float32 and x.shape == (16, 2) and np.isfinite(x).all()
    assert np.array_equal(x, model.sample(16, steps=3, seed=1))
    assert not np.array_equal(x, model.sample(16, steps=3, seed=2))
    assert not np.array_equal(x, model.sample(16, seed=1))
    assert np.array_equal(model.sample(4, steps=3, seed=1, first_index=3), x[3:7])
    assert model.sample().shape == (1, 2)
    noise = np.random.default_rng(0).normal(size=(5, 2))  # float64, on purpose
    assert np.array_equal(model.sample(noise=noise), model.sample(5, noise=noise[:, ::-1][:, ::-1]))
    traced = []
    y = model.sample(3, steps=5, trace=traced.append)
    assert [t.i for t in traced] == list(range(6)) and np.array_equal(traced[-1].x, y)
    z = np.zeros((3, 5, 2))
    assert not np.array_equal(model.sample(noise=noise, z=z, sampler="ddpm", steps=3),
                              model.sample(noise=noise, sampler="ddpm", steps=3))


def predicts():
    with demist.open(run("a"), raw=True) as model:
        x = np.ones((3, 2))
        eps = model.predict(x, [0, 10, 500])
        assert eps.shape == (3, 2) and np.array_equal(eps[1:2], model.predict(x[:1], 10))
    raises(demist.InvalidArgument, "closed", model.predict, x, 0)
    model.close()


def says_what_it_is():
    model = demist.open(run("a"), overrides=["sampler.steps=7"], precision="bf16")
    i = model.info
    assert (i.shape, i.step, i.network, i.precision, i.diffuses) == ((2,), 6, "mlp", "bf16", True)
    assert "steps: 7" in i.experiment and "mlp" in repr(model)
    assert "# parameters: " in demist.check(MOONS, {**TINY, "output": run("checked")})
    assert re.fullmatch(r"\d+\.\d+\.\d+", demist.version())


def a_loop_of_ones_own():
    with demist.Training(MOONS, {**TINY, "output": run("b")}) as t:
        assert t.state.saved == -1 and np.isnan(t.state.loss)
        for _ in range(4):
            t.step()
        assert t.state.loss > 0 and t.validate() == t.state.best_loss
        t.save()
    with demist.Training(MOONS, {**TINY, "output": run("b")}, resume=True) as t:
        assert t.state.step == 4
        t.run()
        raises(demist.InvalidArgument, "are already done", t.step)
    assert np.array_equal(demist.open(run("a")).sample(4), demist.open(run("b")).sample(4))


def classes(model_steps=2):
    """Labels of one call are not those of the next."""
    rng = np.random.default_rng(0)
    for name, a in {"x": rng.integers(0, 256, (64, 8, 8)), "y": np.arange(64) % 4}.items():
        with open(run(name), "wb") as f:
            f.write(bytes([0, 0, 8, a.ndim]) + np.array(a.shape, ">u4").tobytes() + a.astype(np.uint8).tobytes())
    config = run("classes.yaml")
    with open(config, "w") as f:
        f.write(f"""
name: classes
data: {{use: idx, train_images: {run("x")}, train_labels: {run("y")}}}
schedule: {{use: linear}}
network: {{use: unet, channels: [8], layers: 1, groups: 4, attend: [0], class_embed: table}}
objective: {{use: simple, predict: eps}}
sampler: {{use: ddim, steps: {model_steps}}}
train: {{steps: 20, batch: 8, lr: 0.01, warmup: 0}}
""")
    model = demist.open(demist.train(config, {"device": DEVICE, "tune": "off", "output": run("classes")}))
    assert model.info.classes == 10 and model.info.shape == (1, 8, 8) and model.info.pixels
    x = rng.normal(size=(2, 1, 8, 8))
    first = model.predict(x, 10)
    assert np.array_equal(first, model.predict(x, 10, labels=0))
    assert not np.array_equal(first, model.predict(x, 10, labels=[3, 2]))
    assert np.array_equal(first, model.predict(x, 10))
    model.sample(2, labels=3)
    assert np.array_equal(first, model.predict(x, 10))
    assert model.predict(rng.normal(size=(1, 1, 16, 16)), 10).shape == (1, 1, 16, 16)
    raises(demist.InvalidArgument, "label 1 is 11; this model has classes 0 to 9", model.sample, 2, labels=[0, 11])
    raises(demist.InvalidArgument, "labels have shape (3,)", model.sample, 2, labels=[0, 1, 2])
    images = model.sample(3, labels=[0, 1, 2])
    assert model.info.takes_class and not model.info.takes_none and model.info.class_names == ()
    assert np.array_equal(model.sample(1, classes=[0, "1", 2])[0], images[0])
    assert model.sample(2, classes=["all"]).shape == (20, 1, 8, 8) and model.sample(classes=[3]).shape == (1, 1, 8, 8)
    assert np.array_equal(model.sample(1, classes=[4, 4], noise=x[:, 0:1]), model.sample(2, labels=4, noise=x[:, 0:1]))
    raises(demist.InvalidArgument, "there is no class '10'", model.sample, classes=[10])
    raises(demist.InvalidArgument, "trained without train.drop_condition", model.sample, classes=["none"])
    raises(demist.InvalidArgument, "labels are given too", model.sample, 2, labels=1, classes=[1])
    raises(demist.InvalidArgument, "a list of one class", model.sample, classes="all")
    p = demist.pixels(images)
    assert p.dtype == np.uint8 and p.shape == (3, 8, 8, 1)


def conditions_and_editing():
    """Images that a network is told, and images that are changed, as the program has them."""
    config = run("small.yaml")
    with open(run("classes.yaml")) as f, open(config, "w") as g:
        g.write(f.read().replace("schedule:", "condition: {derive: [downscale], factor: 4}\nschedule:").replace(", class_embed: table", "")
                .replace("use: ddim,", "use: ddim, eta: 0,"))
    model = demist.open(demist.train(config, {"device": DEVICE, "tune": "off", "output": run("small")}))
    assert model.info.conditions == {"downscale": (1, 2, 2)} and demist.open(run("classes")).info.conditions == {}
    small = np.linspace(-1, 1, 12).reshape(3, 1, 2, 2)
    images = model.sample(conditions={"downscale": small})
    assert images.shape == (3, 1, 8, 8)
    assert np.array_equal(model.sample(2, conditions={"downscale": small[:1]})[0], images[0])
    assert not np.array_equal(model.sample(2, conditions={"downscale": small[1:2]})[0], images[0])
    raises(demist.InvalidArgument, "this model needs downscale", model.sample, 2)
    raises(demist.InvalidArgument, "did you mean 'downscale'", model.sample, conditions={"downscales": small})
    assert model.predict(images, 10, conditions={"downscale": small}).shape == (3, 1, 8, 8)
    raises(demist.InvalidArgument, "this model needs downscale", model.predict, images, 10)
    told = {"downscale": small}
    assert np.array_equal(model.sample(conditions=told, start=images, strength=0), images)
    assert np.array_equal(model.sample(conditions=told, start=images, strength=1), images)
    mask = np.zeros((1, 1, 8, 8))
    mask[..., :4] = 1
    holes = model.sample(conditions=told, start=images * 0.5, strength=1, mask=mask)
    assert np.array_equal(holes[..., 4:], images[..., 4:] * np.float32(0.5)) and not np.array_equal(holes, images * 0.5)
    again = model.sample(conditions=told, start=images * 0.5, strength=1, mask=mask, jumps=(1, 2))
    assert np.array_equal(again[..., 4:], holes[..., 4:]) and not np.array_equal(again, holes)
    raises(demist.InvalidArgument, "jumps need a mask", model.sample, conditions=told, start=images, jumps=(5, 2))
    raises(demist.InvalidArgument, "jumps", model.sample, conditions=told, start=images, mask=mask, jumps=(0, 2))
    raises(demist.InvalidArgument, "jumps", model.sample, conditions=told, start=images, mask=mask, jumps=(5, 2, 1))
    noise = model.invert(images, conditions=told, steps=20)
    assert noise.shape == images.shape and not np.array_equal(noise, images)
    large = model.upscale(np.concatenate([small, small], 3), steps=5, seed=1)
    assert large.shape == (3, 1, 8, 2 * 8) and np.isfinite(large).all(), large.shape
    assert np.array_equal(large, model.upscale(np.concatenate([small, small], 3), steps=5, seed=1))
    raises(demist.InvalidArgument, "an overlap of 99", model.upscale, small, overlap=99)
    raises(demist.InvalidArgument, "this model enlarges", model.upscale, small[..., :1])
    raises(demist.InvalidArgument, "the strength is 2", model.sample, conditions=told, start=images, strength=2)
    raises(demist.InvalidArgument, "no images to apply it to", model.sample, conditions=told, mask=mask)
    raises(demist.InvalidArgument, "strength is 0.5; it is for start", model.sample, conditions=told, strength=0.5)
    raises(demist.InvalidArgument, "jumps need images", model.sample, conditions=told, jumps=(1, 2))


def evaluates():
    """Figures by the same calls that the program makes, as it prints them."""
    model = demist.open(run("classes"))
    loss = model.evaluate("loss", overrides={"data.test_images": run("x"), "data.test_labels": run("y")}, all=True)
    assert loss.step == 20 and loss.count == 64 and {r.name for r in loss.rows} > {"raw"} and len(loss.edges) == 5
    assert all(len(r.bands) == 4 and r.loss.error > 0 and min(b.mean for b in r.bands) < r.loss.mean for r in loss.rows)
    test = {"data.test_images": run("x"), "data.test_labels": run("y")}
    assert model.evaluate("loss", overrides=test).rows[0] == next(r for r in loss.rows if r.name != "raw")
    raw = demist.open(run("classes"), raw=True, device=DEVICE, precision="fp32", overrides=test)
    assert raw.evaluate("loss").rows[0] == next(r for r in loss.rows if r.name == "raw")
    seen = []
    n = raw.evaluate("nll", count=3, steps=5, each=True, overrides={"sampler.use": "ddpm"}, progress=seen.append)
    assert n.count == 3 and n.sampler == "ddpm" and n.terms.shape == n.t.shape == (5,) and n.each.shape == (3, 6)
    assert np.isclose(n.total.mean, n.prior.mean + n.rate.mean + n.decoder.mean) and (np.diff(n.t) > 0).all()
    assert np.allclose(n.each.mean(0)[:5], n.terms) and np.isclose(n.each.sum(1).mean(), n.total.mean)
    o = raw.evaluate("ode_nll", count=3, steps=4, probes=2, each=True)
    assert (o.count, o.steps, o.probes, o.levels, o.evaluations) == (3, 4, 2, 256, 32) and o.each.shape == (3,), o
    assert np.isclose(o.each.mean(), o.total.mean) and np.isclose(o.each.std(ddof=1) / 3 ** 0.5, o.total.error)
    assert raw.evaluate("nll", count=1, steps=5, overrides={"sampler.use": "ddpm"}).each is None
    raises(demist.InvalidArgument, "'heun' has no Gaussian transition", raw.evaluate, "nll", count=1,
           overrides={"sampler.use": "heun"})
    raises(ValueError, "not 'fid'", raw.evaluate, "fid")
    raises(TypeError, "stepz", raw.evaluate, "nll", stepz=3)
    raises(demist.InvalidArgument, "not a classifier", raw.evaluate, "accuracy")
    raw.close()
    raises(demist.InvalidArgument, "closed", raw.evaluate, "loss")


def evaluates_a_classifier_and_quality():
    config = run("classifier.yaml")
    with open(config, "w") as f:
        f.write(f"""
name: classifier
data: {{use: idx, train_images: {run("x")}, train_labels: {run("y")}, test_images: {run("x")}, test_labels: {run("y")}}}
network: {{use: classifier, channels: [8, 8]}}
objective: {{use: classify}}
train: {{steps: 5, batch: 8, warmup: 0}}
""")
    folder = demist.train(config, {"device": DEVICE, "tune": "off", "output": run("classifier")})
    a = demist.open(folder).evaluate("accuracy")
    assert a.count == 64 and a.accuracy == a.correct / 64 and a.step == 5 and a.loss > 0
    q = demist.open(run("classes")).evaluate("quality", features=folder, count=20, subsets=2, subset_size=10)
    assert q.train == 64 and q.samples.count == 20 and q.samples.frechet > 0 and q.floor is None and q.subsets == 2
    assert q.features_step == 5 and len(q.hash) == 64 and "sampler=ddim" in q.about
    assert 0 <= q.class_share <= 1 and [k.count for k in q.by_class] == [2] * 10 and q.by_class[3].row is None
    four = {"device": DEVICE, "tune": "off", "data.classes": 4, "data.test_images": run("x"), "data.test_labels": run("y")}
    asked = demist.open(demist.train(run("classes.yaml"), {**four, "output": run("four")}))
    k = asked.evaluate("quality", features=folder, count=20, by_class=True)
    assert k.class_share is None  # of ten classes, not four
    assert [(c.count, c.test, c.row.count, c.class_share, c.name) for c in k.by_class] == [(5, 16, 5, None, "")] * 4
    assert k.by_class[0].row.frechet > 0 and k.by_class[0].row.frechet != k.by_class[1].row.frechet
    assert k.samples == asked.evaluate("quality", features=folder, count=20).samples
    raises(demist.InvalidArgument, "of class 3 there are 3", asked.evaluate, "quality", features=folder, count=15,
           by_class=True)
    images = np.random.default_rng(0).normal(size=(20, 1, 8, 8))
    given = demist.open(run("classes")).evaluate("quality", features=folder, images=images, subsets=2, subset_size=10)
    assert given.samples.count == 20 and given.samples.frechet != q.samples.frechet and given.about == ""
    raises(TypeError, "features", demist.open(folder).evaluate, "quality")


def a_guided_unet():
    """A safetensors file with the names and shapes of a small UNet of guided-diffusion, and values near 0."""
    def header(f):
        return json.loads(f.read(int.from_bytes(f.read(8), "little")))

    with open(os.path.join(os.environ["DEMIST_SOURCE"], "tests/parity/data/guided/guided.safetensors"), "rb") as f:
        shapes = json.loads(header(f)["__metadata__"]["shapes"])
    at, tensors = 0, {}
    for name, shape in shapes.items():
        end = at + 4 * int(np.prod(shape))
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(tensors).encode()
    with open(run("theirs.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        f.write((0.02 * np.random.default_rng(2).normal(size=at // 4)).astype("<f4").tobytes())
    return run("theirs.safetensors")


def exports_and_converts():
    demist.export(run("classes"), run("exported"), overrides=["sampler.use=ddpm"])
    assert os.path.exists(os.path.join(run("exported"), "unet", "config.json"))
    x = np.random.default_rng(1).normal(size=(2, 1, 8, 8))
    with demist.open(run("exported"), device=DEVICE) as there, demist.open(run("classes")) as here:
        assert np.allclose(there.predict(x, 10, labels=1), here.predict(x, 10, labels=1), atol=1e-5)
    raises(demist.InvalidArgument, run("exported"), demist.export, run("classes"), run("exported"))
    demist.export(run("classes"), run("exported"), overwrite=True, raw=True, overrides={"sampler.use": "ddim"})
    raises(demist.InvalidArgument, "pickle", demist.export, run("classes"), run("other"), to="pickle")
    theirs = a_guided_unet()
    options = {"size": 8, "qkv": "new", "overrides": {"network.heads": 0, "network.head_dim": 16}}
    demist.convert(theirs, run("converted.safetensors"), **options)
    assert demist.open(run("converted.safetensors"), device=DEVICE).sample(2, steps=2).shape == (2, 1, 8, 8)
    demist.convert(theirs, run("converted.safetensors"), **{**options, "size": (8, 12)}, overwrite=True)
    assert demist.open(run("converted.safetensors"), device=DEVICE).info.shape == (1, 8, 12)
    raises(demist.InvalidArgument, "converted.safetensors", demist.convert, theirs, run("converted.safetensors"))
    raises(demist.NotFound, "nothing", demist.convert, run("nothing.safetensors"), run("more.safetensors"))
    raises(ValueError, "not 'old'", demist.convert, theirs, run("more.safetensors"), qkv="old")


def trains_on_an_array():
    """As the README says: by a file."""
    np.save(run("mine.npy"), np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32))
    folder = demist.train(MOONS, {**TINY, "data.use": "npy", "data.file": run("mine.npy"), "output": run("npy")})
    assert demist.open(folder).sample(3).shape == (3, 2)


def errors_are_exceptions():
    raises(demist.NotFound, "unable to open '/nonexistent'", demist.open, "/nonexistent")
    e = raises(demist.InvalidArgument, "1 error in the experiment", demist.train, MOONS, {**TINY, "network.width": -1})
    assert "network.width" in str(e).split("\n", 1)[1], e
    raises(demist.DeviceError, "no such", demist.open, run("a"), device="no such device")
    model = demist.open(run("a"))
    raises(demist.InvalidArgument, "set this when the model is opened", model.sample, overrides={"network.width": 3})
    raises(demist.InvalidArgument, "count is -3", model.sample, -3)
    raises(demist.InvalidArgument, "more elements than memory", model.sample, 2**62)
    raises(demist.InvalidArgument, "rank", model.predict, np.ones((2, 3, 4, 4)), 0)
    raises(demist.InvalidArgument, "9 dimensions", model.predict, np.ones((1,) * 9), 0)
    raises(TypeError, "not the text", demist.open, run("a"), overrides="sampler.steps=3")
    e = raises(demist.InvalidArgument, "seed", model.sample, seed=-1)
    assert isinstance(e, demist.Error) and isinstance(e, ValueError) and e.status == -1
    assert issubclass(demist.Diverged, demist.Error)


def callbacks_may_raise():
    def fails(p):
        if p.step == 2:
            raise ZeroDivisionError("mine")

    raises(ZeroDivisionError, "mine", demist.train, MOONS, {**TINY, "output": run("c")}, progress=fails)
    assert demist.open(run("c")).info.step == 2  # it stopped there, with a checkpoint
    model = demist.open(run("a"))
    raises(ZeroDivisionError, "mine", model.sample, 2, progress=fails)
    raises(ZeroDivisionError, "division", model.sample, 2, trace=lambda t: 1 // 0)
    assert model.sample(2).shape == (2, 2)


def messages_are_logged():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda r: lines.append((r.levelno, r.getMessage()))
    logging.getLogger("demist").addHandler(handler)
    try:
        demist.open(run("a")).sample(2, labels=[0, 0])
    finally:
        logging.getLogger("demist").removeHandler(handler)
    assert (logging.WARNING, "this model has no classes; the labels are ignored") in lines, lines


def interrupted(f, *args, **more):
    """SIGINT comes while the third step is at work."""
    def strike(p):
        if p.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        f(*args, progress=strike, **more)
    except KeyboardInterrupt as e:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        return str(e)
    raise AssertionError("it was not interrupted")


def ctrl_c():
    long = {**TINY, "train.steps": 100000000, "train.log_every": 1000000, "train.save_every": 0, "output": run("d")}
    says = interrupted(demist.train, MOONS, long)
    assert "stopped at step 3 of 100000000, a checkpoint is saved" in says, says
    assert demist.open(run("d")).info.step == 3
    model = demist.open(run("a"))
    says = interrupted(model.sample, 1000000)
    assert "stopped at step 3 of 4" in says, says
    assert model.sample(2).shape == (2, 2)


def ctrl_c_from_outside():
    """A program that is at work when its terminal sends SIGINT."""
    program = ("import sys, demist\n"
               "print(demist.train(sys.argv[1], sys.argv[2:], progress=lambda p: p.step == 2 and print('going', flush=True)))")
    texts = [f"{k}={str(v)}" for k, v in {**TINY, "train.steps": 100000000, "train.save_every": 0,
                                          "train.log_every": 1000000, "output": run("e")}.items()]
    p = subprocess.Popen([sys.executable, "-c", program, MOONS, *texts], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    assert p.stdout.readline() == "going\n"
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=120)
    assert p.returncode == -signal.SIGINT and not out, (p.returncode, out, err)
    assert "KeyboardInterrupt: stopped at step" in err and demist.open(run("e")).info.step > 1, err


def threads():
    """Calls on one model wait for each other; two models work at once."""
    models = [demist.open(run("a")), demist.open(run("a"))]
    expected = models[0].sample(8, seed=3)
    got = []

    def work(m):
        got.extend(m.sample(8, seed=3) for _ in range(5))

    all_of = [threading.Thread(target=work, args=(m,)) for m in models + models]
    for t in all_of:
        t.start()
    for t in all_of:
        t.join()
    assert len(got) == 20 and all(np.array_equal(expected, x) for x in got)


def closes_while_it_works():
    """close() waits for the call of another thread, and a call that waited behind it finds the handle closed."""
    model, steps = demist.open(run("a")), {}
    training = demist.Training(MOONS, {**TINY, "train.steps": 300, "output": run("f")},
                               progress=lambda p: reached("training", p))
    started = {"model": threading.Event(), "training": threading.Event()}

    def reached(which, p):
        steps[which] = p.steps - p.step
        started[which].set()

    for which, handle, work in (
            ("model", model, lambda: model.sample(400, steps=300, progress=lambda p: reached("model", p))),
            ("training", training, training.run)):
        t = threading.Thread(target=work)
        t.start()
        assert started[which].wait(60)
        handle.close()
        assert steps[which] == 0, (which, steps)
        t.join()
        handle.close()
    raises(demist.InvalidArgument, "the model is closed", model.sample)
    raises(demist.InvalidArgument, "the model is closed", model.evaluate, "loss")
    raises(demist.InvalidArgument, "the training is closed", training.step)
    raises(demist.InvalidArgument, "the training is closed", lambda: training.state)


def inside_a_callback():
    """The state can be read there; any other call of the same handle is an error, which ends the call around it."""
    faulthandler.dump_traceback_later(120, exit=True)  # where it hangs

    def training(progress):
        return demist.Training(MOONS, {**TINY, "output": run("g")}, overwrite=True, progress=progress)

    seen = []
    with training(lambda p: seen.append((p.step, t.state.step))) as t:
        handler = logging.Handler()
        handler.emit = lambda r: seen.append((t.state.step,) * 2)
        logging.getLogger("demist").addHandler(handler)
        try:
            t.run()
        finally:
            logging.getLogger("demist").removeHandler(handler)
    assert {s for s, _ in seen} == set(range(7)) and all(a == b for a, b in seen), seen
    for name in ("step", "validate", "save", "run", "close"):
        with training(lambda p: getattr(t, name)()) as t:
            raises(demist.InvalidArgument, "not allowed inside a callback of the same training", t.run)
            assert t.state.step <= 1
    with training(lambda p: (os.kill(os.getpid(), signal.SIGINT), t.state)) as t:
        try:
            t.run()
            raise AssertionError("reading the state forgot Ctrl-C")
        except KeyboardInterrupt:
            pass
    model, other = demist.open(run("a")), demist.open(run("a"))
    for inner in (model.sample, model.close, lambda: model.predict(np.ones((1, 2)), 0)):
        for more in ({"progress": lambda _: inner()}, {"trace": lambda _: inner()}):
            raises(demist.InvalidArgument, "not allowed inside a callback of the same model", model.sample, 2, **more)
    traced = []
    x = model.sample(2, progress=lambda _: traced.append(other.sample(2)))
    assert len(traced) == 5 and all(np.array_equal(x, y) for y in traced)
    faulthandler.cancel_dump_traceback_later()


def arguments_that_do_not_fit():
    """An integer beyond the library's and a text with a NUL are refused, not cut off."""
    model, wrong = demist.open(run("a")), demist.InvalidArgument
    evaluate, nul, x = model.evaluate, "a\0b", np.ones((2, 2))
    raises(wrong, f"count is {2**64 + 4}; it must be from 1 to {2**63 - 1}", model.sample, 2**64 + 4)
    raises(wrong, f"seed is {2**64 + 1}; it must be from 0 to {2**53}", model.sample, seed=2**64 + 1)
    raises(wrong, f"first_index is {2**64}; it must be from 0 to {2**32 - 1}", model.sample, first_index=2**64)
    raises(wrong, f"steps is {2**32}; it must be from 0 to {2**31 - 1}", model.sample, steps=2**32)
    for f in (lambda labels: model.sample(2, labels=labels), lambda labels: model.predict(x, 0, labels)):
        raises(wrong, f"labels[0] is {2**32}; it must be from ", f, [2**32, 1])
        raises(wrong, f"labels[1] is {2**64}; it must be from ", f, [1, 2**64])
        raises(wrong, f"labels[0] is {2**63}; it must be from ", f, np.array([2**63, 1], np.uint64))
        raises(wrong, f"labels is {2**32}; it must be from ", f, 2**32)
        raises(TypeError, "labels[0] is 0.7; it must be an integer", f, [0.7, 1.2])
        raises(TypeError, "labels is 0.7; it must be an integer", f, 0.7)
    raises(wrong, f"classes[1] is {2**32}; it must be from 0 to {2**31 - 1}", model.sample, classes=[1, 2**32])
    raises(TypeError, "classes[0] is 0.7; it must be an integer", model.sample, classes=[0.7])
    raises(TypeError, "count is 2.5; it must be an integer", model.sample, 2.5)
    raises(wrong, f"count is {2**64 + 1}; it must be from 0 to {2**63 - 1}", evaluate, "loss", count=2**64 + 1)
    raises(wrong, f"steps is {2**32 + 1}; it must be from 0 to {2**31 - 1}", evaluate, "nll", steps=2**32 + 1)
    for name, largest in (("count", 2**63 - 1), ("neighbours", 2**31 - 1), ("subsets", 2**63 - 1),
                          ("subset_size", 2**63 - 1)):
        raises(wrong, f"{name} is {2**64 + 1}; it must be from 0 to {largest}", evaluate, "quality", features=run("a"),
               **{name: 2**64 + 1})
    raises(wrong, f"size[0] is {2**64 + 8}; it must be from 0 to", demist.convert, "x", "y", size=(2**64 + 8, 8))
    raises(wrong, f"size is {2**64 + 8}; it must be from 0 to", demist.convert, "x", "y", size=2**64 + 8)
    assert np.array_equal(model.sample(np.int64(2), seed=np.uint8(3)), model.sample(2, seed=3))

    contains = "it must not contain a NUL character"
    for f in (demist.open, demist.Training, demist.train, demist.check, lambda p: demist.export(p, "x"),
              lambda p: demist.export(run("a"), p), lambda p: demist.convert(p, "x"), lambda p: demist.convert("x", p),
              lambda p: evaluate("quality", features=p)):
        for path in (run("a") + "\0b", os.fsencode(run("a")) + b"\0b", pathlib.PurePath(run("a") + "\0b")):
            assert contains in str(raises(wrong, "\\x00b", f, path))
        raises(TypeError, "is 3; it must be a path", f, 3)
    for f in (lambda o: demist.open(run("a"), overrides=o), lambda o: demist.Training(MOONS, o),
              lambda o: demist.check(MOONS, o), lambda o: model.sample(overrides=o),
              lambda o: evaluate("loss", overrides=o), lambda o: demist.export(run("a"), "x", overrides=o),
              lambda o: demist.convert("x", "y", overrides=o)):
        raises(wrong, "one of overrides is 'sampler.steps=3\\x00b'; " + contains, f, {"sampler.steps": "3\0b"})
        raises(wrong, "one of overrides is 'seed=3\\x00b'; " + contains, f, ["seed=1", "seed=3\0b"])
        raises(TypeError, "one of overrides is 3; it must be a text", f, [3])
    raises(wrong, "one of data is", evaluate, "quality", features=run("a"), data={"data.file": nul})
    for name, f in {"device": lambda: demist.open(run("a"), device=nul), "layer": lambda: evaluate(
            "quality", features=run("a"), layer=nul), "precision": lambda: demist.open(run("a"), precision=nul),
            "to": lambda: demist.export(run("a"), "x", to=nul), "sampler": lambda: model.sample(sampler=nul),
            "classes[0]": lambda: model.sample(classes=[nul])}.items():
        raises(wrong, f"{name} is 'a\\x00b'; {contains}", f)
    raises(wrong, "device is 'a\\ud800'; it must be Unicode", demist.open, run("a"), device="a\ud800")


def is_typed():
    for name in demist.__all__:
        what = getattr(demist, name)
        for f in [what] if inspect.isfunction(what) else [m for k, m in vars(what).items() if inspect.isfunction(m)
                                                          and (k == "__init__" or k[0] != "_")]:
            s = inspect.signature(f)
            assert s.return_annotation is not inspect.Signature.empty, f
            assert all(p.annotation is not p.empty or p.name == "self" for p in s.parameters.values()), f


failed = 0
for case in (structs_lie_as_the_header_has_them, trains_with_progress, samples_an_array, predicts, says_what_it_is,
             a_loop_of_ones_own, classes, conditions_and_editing, evaluates, evaluates_a_classifier_and_quality, exports_and_converts,
             trains_on_an_array, errors_are_exceptions, callbacks_may_raise, messages_are_logged, ctrl_c,
             ctrl_c_from_outside, threads, closes_while_it_works, inside_a_callback, arguments_that_do_not_fit, is_typed):
    try:
        case()
        print(f"  ok {case.__name__}", flush=True)
    except BaseException:
        traceback.print_exc()
        print(f"  FAILED {case.__name__}", flush=True)
        failed += 1
sys.exit(failed != 0)
