"""Another plugin over a run, whose file has every key: it does what it does by itself, but for what somebody said of the
one before it."""
import os

from cli import DEVICE, demist, path, read_safetensors, run_tests


def prepare():
    with open(path("exp.yaml"), "w") as f:
        f.write(f"""name: swapped
device: {DEVICE}
tune: off
data: {{use: toy2d, shape: moons}}
schedule: {{use: linear, timesteps: 1000}}
network: {{use: mlp, width: 8, depth: 1}}
objective: {{use: simple, predict: eps}}
sampler: {{use: ddim, steps: 10}}
train: {{steps: 1, batch: 8}}
""")


def train(name, *more):
    demist("train", path("exp.yaml"), f"output={path(name)}", *more)


def drawn(name, *more):
    """What is drawn, and what is said of it."""
    err = demist("sample", path(name), "--tensors", path("x.safetensors"), "--force", "--count", 3, *more)[1]
    return read_safetensors(path("x.safetensors"))[0]["x"][2], err


def what_is_drawn_is_the_new_ones():
    """tests/unit/swaps.c tries all pairs without drawing."""
    train("plain")
    for section, a, b in ("sampler", "pndm", "dpmpp"), ("sampler", "heun", "restart"), ("sampler", "dpmpp", "unipc"), ("grid", "karras", "exponential"):
        train(f"{a}", f"{section}.use={a}")
        alone = drawn("plain", f"{section}.use={b}")[0]
        assert drawn(a, f"{section}.use={b}")[0] == alone, (a, b)


def what_was_said_stays():
    train("said", "grid.use=karras", "grid.rho=3", "sampler.use=dpmpp", "sampler.order=3")
    x, err = drawn("said", "grid.use=exponential")
    assert x == drawn("said", "grid.use=exponential", "grid.rho=3")[0] != drawn("said", "grid.use=exponential", "grid.rho=1")[0]
    assert drawn("said", "sampler.use=unipc")[0] == drawn("said", "sampler.use=unipc", "sampler.order=3")[0]
    # in a file of the user's own a default was said, too
    with open(path("own.yaml"), "w") as f:
        f.write(open(path("exp.yaml")).read() + "grid: {use: karras, rho: 7}\n")
    out = demist("check", path("own.yaml"), "grid.use=exponential")[0]
    assert "rho: 7" in out, out


def what_the_new_one_does_not_take_is_dropped():
    train("first", "grid.use=uniform", "grid.last=first")
    said = ["grid.use=uniform", "grid.last=first"]
    assert demist("schedule", path("first"))[0] == demist("schedule", path("exp.yaml"), *said)[0]
    x, err = drawn("first", "grid.use=karras")
    assert "grid.use = karras drops last, which only uniform takes" in err, err
    assert x == drawn("first", "grid.use=karras", "grid.last=data")[0]


def a_guide_goes_with_what_it_guided():
    train("weak")
    train("strong", "guidance.use=autoguidance", f"guidance.guide={path('weak')}")
    plain = drawn("weak")[0]
    for more in (["guidance.use=none"], ["guidance={use: none}"]):
        x, err = drawn("strong", *more)
        assert x == plain and "guidance.use = none drops guide, which only autoguidance takes" in err, err
    # moved: what draws no guided image does without
    os.rename(path("weak"), path("elsewhere"))
    gone = f"guidance.guide: unable to open '{path('weak')}'"
    for command in (["info", path("strong")], ["check", path("strong")], ["eval", path("strong"), "--metric", "nll", "--count", 8, "sampler.use=ddpm"], ["report", path("strong")]):
        assert gone in demist(*command)[1], command
    assert gone in demist("sample", path("strong"), "--count", 1, "--out", path("x.png"), code=2)[1]
    assert drawn("strong", f"guidance.guide={path('elsewhere')}")
    demist("resume", path("strong"), "guidance.use=none", "train.steps=2")
    assert "use: none" in open(path("strong", "resolved.yaml")).read()


run_tests([prepare, what_is_drawn_is_the_new_ones, what_was_said_stays, what_the_new_one_does_not_take_is_dropped, a_guide_goes_with_what_it_guided])
