"""Against an installed demist, through pkg-config alone: a plugin of each kind from its skeleton, the guide's plugins, the
headers in C++, an application that samples."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import DEVICE, SOURCE, config, demist, path, run_tests

BUILD = os.environ["DEMIST_BUILD"]
KINDS = ("schedule", "sampler", "network", "objective", "dataset")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O1"]


def call(*args, env=None, cwd=None):
    p = subprocess.run(args, capture_output=True, text=True, env={**os.environ, **(env or {})}, cwd=cwd, timeout=300)
    assert p.returncode == 0, f"{' '.join(args)}\n{p.stdout[-2000:]}\n{p.stderr[-2000:]}"
    return p.stdout


def pkg_config(*args):
    found = [d for d, _, files in os.walk(path("root")) if "demist.pc" in files]
    return call("pkg-config", *args, "demist", env={"PKG_CONFIG_PATH": found[0], "PKG_CONFIG_SYSROOT_DIR": path("root")}).split()


def installs():
    call("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={"DESTDIR": path("root")})
    assert pkg_config("--variable=plugindir")[0].endswith("demist/plugins")


def compile_plugin(source, out):
    call("cc", *STRICT, "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,defs", *pkg_config("--cflags"), source, "-o", out, "-lm")
    names = [x.split()[-1] for x in call("nm", "-D", "--defined-only", out).splitlines()]
    assert names == ["dm_plugin_entry"], names


def skeletons():
    for kind in KINDS:
        name = f"my_{kind}"
        demist("new-plugin", kind, name)
        assert not [x for x in open(path(name, f"{name}.c")) if "PLUGIN" in x or "KIND" in x]
        compile_plugin(path(name, f"{name}.c"), path(name, f"{name}.so"))
        call(path(name, "test.sh"), path(name, f"{name}.so"), os.environ["DEMIST"], cwd=path(name))
    _, err = demist("new-plugin", "schedule", "my_schedule", code=2)
    assert "already" in err
    demist("new-plugin", "schedule", "../x", code=2)
    demist("new-plugin", "scedule", "x", code=2)


def the_guide():
    """Its code is what the guide shows, compiles and runs."""
    text = open(os.path.join(SOURCE, "docs/plugin-guide.md")).read()
    blocks = re.findall(r"```c\n(.*?)```", text, re.S)
    assert len(blocks) == 3
    os.makedirs(path("guide"))
    limits = {"schedule": 40, "sampler": 80, "network": 100}
    for block in blocks:
        name = re.search(r'\.name = "([a-z0-9_]+)"', block)[1]
        kind = re.search(r"\.(schedule|sampler|network) = &", block)[1]
        assert len(block.splitlines()) <= limits[kind]
        open(path("guide", name + ".c"), "w").write(block)
        compile_plugin(path("guide", name + ".c"), path("guide", name + ".so"))
        more = ["network.use=" + name] if kind == "network" else [f"{kind}.use={name}"]
        demist("train", config("moons.yaml"), f"plugin_path={path('guide')}", f"device={DEVICE}", f"output={path('guide-' + name)}", "train.steps=20",
               "train.batch=16", "-q", *more)
        demist("sample", path("guide-" + name), "--count", 3, "--tensors", path("guide-x"), "--force", "-q")


def headers_in_cpp():
    open(path("t.cpp"), "w").write("#include <demist/plugin.h>\n#include <demist/demist.h>\n"
                                   "int main() { dm_images im = {}; dm_arg a = {DM_BUF, nullptr, 0}; return (int)a.kind + (int)im.size; }\n")
    call("c++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wno-missing-field-initializers", "-Werror", *pkg_config("--cflags"), path("t.cpp"),
         "-c", "-o", path("t.o"))


def an_application():
    demist("train", config("moons.yaml"), f"device={DEVICE}", f"output={path('run')}", "train.steps=20", "train.batch=16", "-q")
    # A library with sanitizers would have theirs loaded before it.
    first = {"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"} if "ASAN_OPTIONS" in os.environ else {}
    call("cc", *STRICT, os.path.join(SOURCE, "docs/examples/sample.c"), *pkg_config("--cflags", "--libs"), "-o", path("app"))
    lib = [d for d, _, files in os.walk(path("root")) if "libdemist.so" in files][0]
    out = call(path("app"), path("run"), "5", env={"LD_LIBRARY_PATH": f"{lib}:{os.environ.get('LD_LIBRARY_PATH', '')}", **first})
    assert out.startswith("5 images"), out


run_tests([installs, skeletons, the_guide, headers_in_cpp, an_application])
