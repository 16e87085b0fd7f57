"""Where sampling steps lie, as a run folder says it: what a run of before there were grids had, what resolved files
have. (Reading itself: tests/unit/former_keys.c.)"""
import re

from cli import demist, moons, path, run_tests

SAMPLE = ["--count", "4", "--force"]


def grid_of(run):
    return re.search(r"^grid:\n((?:  .*\n)*)", open(path(run, "resolved.yaml")).read(), re.M)[1]


def as_before(run):
    """The run's file as it was before: the sampler's keys, and no section."""
    text = re.sub(r"^grid:\n(?:  .*\n)*", "", open(path(run, "resolved.yaml")).read(), flags=re.M)
    text = text.replace("sampler:\n", "sampler:\n  spacing: leading\n  offset: 0\n  at: []\n  last: data\n")
    open(path(run, "resolved.yaml"), "w").write(text)


def a_run_keeps_its_grid():
    demist("train", *moons("run", "train.steps=2"))
    assert "spacing: trailing" in grid_of("run") and "spacing:" not in re.search(r"^sampler:\n((?:  .*\n)*)", open(path("run/resolved.yaml")).read(), re.M)[1]
    as_before("run")
    demist("train", *moons("run", "train.steps=4"), "--resume")  # a file that says nothing
    assert "spacing: leading" in grid_of("run"), grid_of("run")
    demist("train", *moons("run", "train.steps=6", "grid.use=karras"), "--resume")
    assert "use: karras" in grid_of("run")


def both_ways_are_the_same():
    for old, new in ((["sampler.spacing=linspace"], ["grid.use=uniform", "grid.spacing=linspace"]),
                     (["sampler.at=[900, 500, 3]", "sampler.last=first"], ["grid={use: list, timesteps: [900, 500, 3, 0], last: least}"])):
        for name, own in (("old", old), ("new", new)):
            demist("sample", path("run"), *SAMPLE, *own, "--out", path(f"{name}.png"))
        assert open(path("old.png"), "rb").read() == open(path("new.png"), "rb").read(), old


run_tests([a_run_keeps_its_grid, both_ways_are_the_same])
