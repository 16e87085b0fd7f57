"""Where sampling steps lie, as a run folder says it: what a run of before there were grids had, what resolved files
have. (Reading itself: tests/unit/former_keys.c.)"""
import re

from cli import config, demist, moons, path, run_tests

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


def samples_say_how_they_were_made():
    def said(*more):
        demist("sample", path("run"), *SAMPLE, *more, "--out", path("said.png"))
        return re.search(rb"demist [ -~]* checkpoint=[ -~]*", open(path("said.png"), "rb").read())[0].decode()

    assert said("grid.use=uniform").endswith("checkpoint=6"), said("grid.use=uniform")
    text = said("sampler.eta=1", "grid.use=karras", "grid.rho=5")
    assert text.endswith("checkpoint=6 sampler.eta=1 grid=karras grid.rho=5"), text


def a_null_section_is_absent():
    text = open(config("moons.yaml")).read()
    open(path("null.yaml"), "w").write(text + "guidance: null\ngrid: null\n")
    out = []
    for file in (path("null.yaml"), config("moons.yaml")):
        demist("schedule", file, "--json", path("schedule.json"), "--force")
        out.append(open(path("schedule.json")).read())
    assert out[0] == out[1]


def keys_of_no_use_are_refused_or_told():
    for more in (["grid.offset=5"], ["grid.offset=5", "grid.spacing=linspace"]):
        err = demist("check", *moons("no", *more), code=2)[1]
        assert "error: grid.offset: is for spacing: leading" in err, err
    said = lambda *more: demist("check", *moons("told", "sampler.use=restart", *more))[1]
    assert "restart: warning: s_max: 500 is above the schedule's noisiest level" in said("sampler.s_max=[500]")
    assert "restart: warning: no restarts from 0.001 to 0.002" in said("sampler.s_min=[0.001]", "sampler.s_max=[0.002]")
    assert "restart:" not in said()


def log_snr_reaches_what_the_schedule_has():
    """Also of one that begins and ends beyond the log-SNRs that stand for pure noise and for the data."""
    for mu in ("-20", "-18.5", "18.5", "20"):
        out, _ = demist("schedule", *moons("unused", "schedule={use: laplace, mu: %s, cut: 0.2}" % mu, "grid.use=log_snr"))
        assert re.search(r"^timesteps: 1000( \d+(\.\d+)?)+$", out, re.M), (mu, out)


run_tests([a_run_keeps_its_grid, both_ways_are_the_same, samples_say_how_they_were_made, a_null_section_is_absent,
           keys_of_no_use_are_refused_or_told, log_snr_reaches_what_the_schedule_has])
