"""Plugins built out of the tree, without a device: a skeleton of each kind, the guide's plugins, the headers in C++."""
import json
import os
import re

from installed import (GUIDE, KINDS, SOURCE, build_guide, call, compile_plugin, demist, exports_its_table_alone, folder_of,
                       guide_source, install, new_plugin, path, pkg_config, pkg_config_env)
from cli import config, run_tests


def betas(*more):
    demist("schedule", config("moons.yaml"), "schedule.timesteps=50", "--json", path("curve.json"), *more)
    values = json.load(open(path("curve.json")))["beta"]
    os.remove(path("curve.json"))
    assert len(values) == 50
    return values


def near(values, expected):
    assert all(abs(v - e) <= 1e-12 * abs(e) for v, e in zip(values, expected, strict=True)), values


def installs():
    install()
    assert pkg_config("--variable=plugindir")[0].endswith("demist/plugins")
    for name in ("moons.yaml", "design.md", "sample.c", "demist.1", "demist-new-plugin.1", "_demist", "demist.fish"):
        assert folder_of(name), name
    out, _ = demist("--version")
    assert f"plugin interface {pkg_config('--variable=abi')[0]})" in out, out


def skeletons_by_one_command():
    for kind in KINDS:
        folder, name = new_plugin(kind)
        for file in os.listdir(folder):
            if not file.endswith(".so"):
                text = open(os.path.join(folder, file)).read()
                assert "PLUGIN" not in text.replace("DEMIST_PLUGIN_PATH", ""), (file, text)
        section = "data" if kind == "dataset" else kind
        use = f"DEMIST_PLUGIN_PATH=$PWD demist train EXP.yaml {section}.use={name}"
        assert use in open(os.path.join(folder, "README.md")).read()
        out, _ = demist("plugins", f"{folder}/{name}.so")
        assert out.startswith(f"{kind} {name}: "), out
    near(betas(f"plugin_path={path('my_schedule')}", "schedule.use=my_schedule", "schedule.beta_max=0.04"),
         [0.04 * (i / 50) ** 2 for i in range(1, 51)])


def skeletons_by_meson():
    for kind in KINDS:
        name = f"by_meson_{kind}"
        demist("new-plugin", kind, name, "--dir", path("meson-" + kind))
        build = path("meson-" + kind, "build")
        call("meson", "setup", "-Dwerror=true", build, path("meson-" + kind), env=pkg_config_env())
        call("ninja", "-C", build)
        exports_its_table_alone(os.path.join(build, f"{name}.so"))
        listed = json.loads(call("meson", "introspect", "--installed", build))
        target = pkg_config("--variable=plugindir")[0] + f"/{kind if kind == 'guidance' else kind + 's'}/{name}.so"
        assert list(listed.values()) == [target], listed


def new_plugin_refuses():
    def refused(*args, says):
        before = sorted(os.listdir(path()))
        _, err = demist("new-plugin", *args, code=2)
        assert says in err, err
        assert sorted(os.listdir(path())) == before

    os.makedirs(path("taken"))
    open(path("taken", "mine"), "w").write("mine")
    refused("schedule", "taken", says="'taken' already exists")
    refused("schedule", "fine", "--dir", "taken", says="'taken' already exists")
    assert os.listdir(path("taken")) == ["mine"]
    refused("scedule", "x", says="did you mean 'schedule'?")
    refused("x", "x", says="kinds are schedule, grid, guidance, sampler, network, objective, dataset")
    refused("sampler", "../x", says="a-z, 0-9 and _")
    refused("sampler", "Upper", says="a-z, 0-9 and _")
    refused("sampler", "", says="a-z, 0-9 and _")
    refused("sampler", "a" * 64, says="fewer than 64")
    refused("sampler", "test", says="meson")
    refused("sampler", says="a kind and a name")
    refused("sampler", "a", "b", says="'b'")


def the_guide_shows_its_files():
    text = open(os.path.join(SOURCE, "docs/plugin-guide.md")).read()
    blocks = re.findall(r"^```c\n(.*?)^```$", text, re.S | re.M)
    assert blocks == [open(guide_source(name)).read() for name in GUIDE]
    assert sorted(os.listdir(os.path.dirname(guide_source("")))) == sorted(f"{name}.c" for name in GUIDE)
    for block, lines in zip(blocks, (40, 40, 40, 80, 100, 100, 40, 60), strict=True):
        assert len(block.splitlines()) <= lines


def the_guide_builds():
    folder = build_guide()
    for name, kind in GUIDE.items():
        out, _ = demist("plugins", f"{folder}/{name}.so")
        assert out.startswith(f"{kind} {name}: "), out
    near(betas(f"plugin_path={folder}", "schedule.use=geometric", "schedule.beta_end=0.05"),
         [1e-4 * 500 ** (i / 49) for i in range(50)])
    _, err = demist("schedule", config("moons.yaml"), f"plugin_path={folder}", "schedule.use=geometric",
                    "schedule.beta_end=1e-5", code=2)
    assert "beta_end is 1e-05" in err, err


def headers_in_cpp():
    open(path("t.cpp"), "w").write('''#include <demist/plugin.h>
#include <demist/demist.h>
int main()
{
    dm_images im = {};
    dm_arg a = {DM_BUF, nullptr, 0};
    return (int)a.kind + (int)im.size;
}
''')
    call("c++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wno-missing-field-initializers", "-Werror",
         *pkg_config("--cflags"), path("t.cpp"), "-c", "-o", path("t.o"))


def an_old_plugin_is_refused():
    """Built against an older interface: nothing of it is run, and both versions are said."""
    text = open(guide_source("geometric")).read().replace(".abi = DM_ABI", ".abi = DM_ABI_OF(0, 1)")
    open(path("geometric.c"), "w").write(text)
    compile_plugin(path("geometric.c"), path("geometric.so"))
    _, err = demist("plugins", path("geometric.so"), code=3)
    assert "0.1" in err and pkg_config("--variable=abi")[0] in err, err


run_tests([installs, skeletons_by_one_command, skeletons_by_meson, new_plugin_refuses, the_guide_shows_its_files,
           the_guide_builds, headers_in_cpp, an_old_plugin_is_refused])
