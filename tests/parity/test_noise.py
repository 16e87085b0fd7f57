"""The noise process and the grids against NumPy and diffusers (tools/make_noise_goldens.py)."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import config, demist, path, run_tests

GOLDEN = json.load(open(os.path.join(os.environ["DEMIST_SOURCE"], "tests/parity/data/noise.json")))


def schedule(*overrides):
    demist("schedule", config("moons.yaml"), *overrides, "--force", "--json", path("s.json"))
    return json.load(open(path("s.json")))


def tables():
    for g in GOLDEN["tables"]:
        own = ["schedule.beta_start=0.00085", "schedule.beta_end=0.012"] if g["schedule"] == "scaled_linear" else []
        s = schedule(f"schedule.use={g['schedule']}", f"schedule.timesteps={g['T']}", "sampler.steps=1", *own)
        assert len(s["beta"]) == g["T"]
        for key in ("beta", "alpha_bar", "log_snr", "posterior_variance"):
            for i, want in zip(g["at"], g[key]):
                assert abs(s[key][i] - want) <= 1e-11 * max(abs(want), 1e-3), (g["schedule"], g["T"], key, i, s[key][i], want)


def timesteps():
    for g in GOLDEN["timesteps"]:
        s = schedule(f"schedule.timesteps={g['T']}", f"sampler.steps={g['n']}", f"sampler.spacing={g['spacing']}", f"sampler.offset={g['offset']}")
        have = s["timesteps"]
        assert len(have) == g["n"]
        assert have[:len(g["timesteps"])] == g["timesteps"], (g, have)


def given_timesteps():
    assert schedule("sampler.at=[900,500,3]")["timesteps"] == [900, 500, 3]
    demist("schedule", config("moons.yaml"), "sampler.at=[500,900]", code=2)
    demist("schedule", config("moons.yaml"), "sampler.at=[1000]", code=2)
    demist("schedule", config("moons.yaml"), "sampler.steps=1000", "sampler.offset=1", code=2)


run_tests([tables, timesteps, given_timesteps])
