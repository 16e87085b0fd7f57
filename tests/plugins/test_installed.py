"""What was built against an installed demist, used on a device: skeletons, the guide's plugins, an application."""
import os

from installed import (KINDS, SOURCE, STRICT, build_guide, call, folder_of, install, new_plugin, path, pkg_config,
                       pkg_config_env)
from cli import DEVICE, config, demist, floats, read_safetensors, run_tests


def train(out, *more):
    demist("train", config("moons.yaml"), f"device={DEVICE}", f"output={path(out)}", "-q", *more)


def sample(run, *more):
    demist("sample", path(run), "--count", 64, "--tensors", path("x.safetensors"), "--force", "-q", *more)
    return floats(read_safetensors(path("x.safetensors"))[0]["x"])


def apart(a, b):
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


def skeletons():
    install()
    for kind in KINDS:
        folder, name = new_plugin(kind)
        call(os.path.join(folder, "test.sh"), f"{folder}/{name}.so", os.environ["DEMIST"], cwd=folder)
    call("meson", "setup", "build", env=pkg_config_env(), cwd=folder)
    call("meson", "test", "-C", "build", cwd=folder)


def samplers_agree():
    """The skeleton's steps are DDIM's; the guide's sampler is of higher order."""
    train("run", "train.steps=400", "train.batch=64")
    folders, fine = f"plugin_path={path('my_sampler')}:{build_guide()}", ["sampler.spacing=linspace"]
    ddim = sample("run", "sampler.use=ddim", "sampler.steps=50", *fine)
    assert apart(sample("run", folders, "sampler.use=my_sampler", "sampler.steps=50", *fine), ddim) < 1e-4
    exact = sample("run", "sampler.use=ddim", "sampler.steps=1000", *fine)
    error = apart(sample("run", folders, "sampler.use=midpoint", "sampler.steps=50", *fine), exact)
    assert error < apart(ddim, exact) / 3, (error, apart(ddim, exact))


def the_guide():
    for override in "schedule.use=geometric", "network.use=gated":
        out = "guide-" + override.split("=")[1]
        train(out, f"plugin_path={build_guide()}", override, "train.steps=20", "train.batch=16")
        assert len(sample(out)) == 128
    train("guide-gates", f"plugin_path={build_guide()}", "data.use=checks", "network.use=gates", "objective.use=huber", "train.steps=5",
          "train.batch=8")
    assert len(sample("guide-gates", "sampler.steps=5")) == 64 * 16 * 16
    classes = ["data.labels=true", "network.use=exact_gaussians", "network.classes=true", "network.means=[-1, 1]", "network.deviations=[0.5, 0.5]"]
    guided = [f"plugin_path={build_guide()}", "guidance.use=toward"]
    train("guide-toward", *guided, *classes, "train.drop_condition=0.1", "train.steps=1")
    strong, none = sample("guide-toward"), sample("guide-toward", "guidance.most=1")
    assert apart(none, sample("guide-toward", "guidance.use=none")) < 1e-4 and apart(strong, none) > 0.1
    weights = read_safetensors(os.path.join(path("guide-gated"), "checkpoints/step-00000020.safetensors"))[0]
    assert any(k.endswith("blocks.0.gate.weight") for k in weights), list(weights)


def an_application():
    train("app-run", "train.steps=20", "train.batch=16")
    # A library with sanitizers wants theirs first in the program, to see what malloc gives.
    sanitizers = ["-fsanitize=address,undefined"] if "ASAN_OPTIONS" in os.environ else []
    call("cc", *STRICT, *sanitizers, os.path.join(SOURCE, "docs/examples/sample.c"), *pkg_config("--cflags", "--libs"),
         "-o", path("app"))
    libraries = f"{folder_of('libdemist.so')}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    out = call(path("app"), path("app-run"), "5", env={"LD_LIBRARY_PATH": libraries})
    assert out.startswith("5 images"), out


run_tests([skeletons, samplers_agree, the_guide, an_application])
