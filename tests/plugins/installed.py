"""What the tests of an installed demist share: its files under a folder of their own, found through pkg-config alone."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import SOURCE, demist, path

KINDS = ("schedule", "grid", "guidance", "sampler", "network", "objective", "dataset")
GUIDE = {"geometric": "schedule", "roots": "grid", "toward": "guidance", "midpoint": "sampler", "gated": "network",
         "gates": "network", "huber": "objective", "checks": "dataset"}
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O1"]


def call(*args, env=None, cwd=None):
    # The leak checker's crash at exit would end a script of several commands: leaks are looked for where demist is run by itself.
    no_leaks = {"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":detect_leaks=0"} if "ASAN_OPTIONS" in os.environ else {}
    p = subprocess.run(args, capture_output=True, text=True, env={**os.environ, **no_leaks, **(env or {})}, cwd=cwd, timeout=300)
    assert p.returncode == 0, f"{' '.join(args)}\n{p.stdout[-2000:]}\n{p.stderr[-2000:]}"
    return p.stdout


def install():
    call("meson", "install", "-C", os.environ["DEMIST_BUILD"], "--no-rebuild", "--quiet", env={"DESTDIR": path("root")})


def folder_of(name):
    return [d for d, _, files in os.walk(path("root")) if name in files][0]


def pkg_config_env():
    return {"PKG_CONFIG_PATH": folder_of("demist.pc"), "PKG_CONFIG_SYSROOT_DIR": path("root")}


def pkg_config(*args):
    return call("pkg-config", *args, "demist", env=pkg_config_env()).split()


def exports_its_table_alone(so):
    names = [x.split()[-1] for x in call("nm", "-D", "--defined-only", so).splitlines()]
    assert names == ["dm_plugin_entry"], names


def compile_plugin(source, so):
    call("cc", *STRICT, "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,defs", *pkg_config("--cflags"), source,
         "-o", so, "-lm")
    exports_its_table_alone(so)


def new_plugin(kind):
    """The skeleton of a kind, compiled: its folder and name."""
    name = f"my_{kind}"
    demist("new-plugin", kind, name)
    compile_plugin(path(name, f"{name}.c"), path(name, f"{name}.so"))
    return path(name), name


def guide_source(name):
    return os.path.join(SOURCE, "tests/plugins/guide", f"{name}.c")


def build_guide():
    """The folder with the guide's plugins."""
    os.makedirs(path("guide"), exist_ok=True)
    for name in GUIDE:
        compile_plugin(guide_source(name), path("guide", f"{name}.so"))
    return path("guide")
