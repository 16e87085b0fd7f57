"""The noise process and the grids against NumPy and diffusers (tools/make_noise_goldens.py)."""
import json
import math
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
    demist("schedule", config("moons.yaml"), "sampler.steps=999", "sampler.offset=2", code=2)
    assert "argument 1: error: sampler.steps: 1001 is more than the schedule's 1000" in demist("check", config("moons.yaml"), "sampler.steps=1001", code=2)[1]


def close(a, b, room=1e-11):
    return abs(a - b) <= room * max(1, abs(b))


def curves():
    """Continuous schedules at whole t, by the papers' formulas."""
    T = 100
    cases = {
        ("flow",): lambda u: (1 - u, u),
        ("flow", "schedule.shift=3"): lambda u: ((1 - u) / (1 + 2 * u), 3 * u / (1 + 2 * u)),
        ("ve",): lambda u: (1, 0.01 * 5000 ** u),
        ("ve", "schedule.sigma_min=0.02", "schedule.sigma_max=100"): lambda u: (1, 0.02 * 5000 ** u),
        ("edm",): lambda u: (1, (0.002 ** (1 / 7) + u * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7),
    }
    for (name, *own), at in cases.items():
        s = schedule(f"schedule.use={name}", f"schedule.timesteps={T}", "sampler.steps=4", *own)
        for t in range(1, T + 1):
            alpha, sigma = at(t / T)
            assert close(s["alpha"][t - 1], alpha) and close(s["sigma"][t - 1], sigma), (name, own, t, s["alpha"][t - 1], s["sigma"][t - 1])
            if alpha > 0:
                assert close(s["log_snr"][t - 1], 2 * math.log(alpha / sigma)), (name, own, t)
    for mu, b, cut in ((0, 0.5, 9), (1, 0.7, 6)):
        s = schedule("schedule.use=laplace", f"schedule.timesteps={T}", "sampler.steps=4", f"schedule.mu={mu}", f"schedule.b={b}", f"schedule.cut={cut}")
        for t in range(1, T + 1):
            l, u = s["log_snr"][t - 1], t / T
            q = 0.5 * math.exp(-cut / b)
            below = 0.5 * math.exp((l - mu) / b) if l < mu else 1 - 0.5 * math.exp((mu - l) / b)  # Laplace's distribution function
            assert close(1 - below, q + (1 - 2 * q) * u), (mu, b, t, l)
            assert close(s["alpha"][t - 1] ** 2 + s["sigma"][t - 1] ** 2, 1)
    demist("schedule", config("moons.yaml"), "schedule.use=ve", "schedule.sigma_min=60", code=2)
    demist("schedule", config("moons.yaml"), "schedule.use=edm", "schedule.sigma_min=90", code=2)


def formulas():
    cosine = schedule("schedule.use=cosine", "sampler.steps=1")
    for own in ([], ["schedule.of=log_snr", "schedule.formula=ln(cos((u + 0.008) / 1.008 * pi / 2)^2 / cos(0.008 / 1.008 * pi / 2)^2) - "
                     "ln(1 - cos((u + 0.008) / 1.008 * pi / 2)^2 / cos(0.008 / 1.008 * pi / 2)^2)"]):
        s = schedule("schedule.use=formula", "sampler.steps=1", *own)
        for a, b in zip(s["beta"], cosine["beta"]):
            assert close(a, b, 1e-9), (own, a, b)
    s, linear = (schedule(f"schedule.use={u}", "sampler.steps=1", *own) for u, own in
                 (("formula", ["schedule.of=beta", "schedule.formula=1e-4 + (u * T - 1) / (T - 1) * 0.0199"]), ("linear", [])))
    for a, b in zip(s["beta"], linear["beta"]):
        assert close(a, b, 1e-12), (a, b)
    for formula, own, says in (("cos(u", [], "column 6: Missing parenthesis"), ("u + foo", [], "column 5: Unexpected token \"foo\"\n"),
                               ("u : 2", [], "column 3: Misplaced colon\n"), ("min()", [], "column 5: Too few parameters for function \"min\"\n"),
                               ("1..2", [], "column 3: Unexpected value \".2\"\n"),
                               ("1 - 0.99 * u ^", [], "column 15: Unexpected end of expression\n"),
                               ("", [], "Expression is empty"), ("1 - 2 * u", [], "alpha_bar is -0.002 at u = 0.501"),
                               ("u", [], "alpha_bar is 0 at u = 0"), ("1 + u", [], "alpha_bar is 1.001 at u = 0.001"),
                               ("1", [], "alpha_bar does not fall: 1 at u = 0.001"), ("sqrt(0.5 - u)", [], "at u = 0.501"),
                               ("2 * u", ["schedule.of=beta"], "beta is 1.002 at u = 0.501"),
                               ("u - 0.5", ["schedule.of=beta"], "beta is -0.499 at u = 0.001"),
                               ("ln(-u)", ["schedule.of=log_snr"], "not a number at u = 0.001")):
        _, err = demist("check", config("moons.yaml"), "schedule.use=formula", f"schedule.formula={formula}", *own, code=2)
        assert "schedule.formula: " in err and says in err, (formula, err)
        if "column" in says:  # of the formula, and the caret there
            said = err.split("\n")
            line, caret = said[next(i for i, text in enumerate(said) if " error: " in text) + 1:][:2]
            assert len(caret) - 1 == line.index(formula) + int(says.split()[1][:-1]) - 1, err
    # In a file too, whose own column is that of the character.
    text = open(config("moons.yaml")).read()
    start = text.index("schedule:")
    for written, column in (("1 - foo * u", 0), ('"1 - foo * u"', 1), ("'1 - foo * u'", 1)):
        line = f"schedule: {{use: formula, formula: {written}}}"
        open(path("formula.yaml"), "w").write(text[:start] + line + text[text.index("\n", start):])
        err = demist("check", path("formula.yaml"), code=2)[1]
        at = line.index(written) + column + 5
        assert f":{at}: error: schedule.formula: column 5: Unexpected token" in err and "\n  " + " " * (at - 1) + "^" in err, err


def linear_ratio(t):
    """sigma / alpha of linear's 1000 steps at a 0-based timestep, the angle linear between whole ones."""
    def angle(i):
        a = math.prod(1 - (1e-4 + k * 0.0199 / 999) for k in range(i + 1))
        return math.acos(math.sqrt(a))
    i = math.floor(t)
    return math.tan(angle(i) + (t - i) * (angle(i + 1) - angle(i) if t > i else 0))


def grids():
    at = lambda *own: schedule(*own)["timesteps"]
    for spacing in ("leading", "trailing", "linspace"):  # what the sampler's key says, and in place of it the grid
        for n in (1, 7, 50, 1000):
            assert at(f"sampler.steps={n}", f"sampler.spacing={spacing}") == at(f"sampler.steps={n}", "grid.use=uniform", f"grid.spacing={spacing}")
    assert at("sampler.steps=7", "sampler.spacing=leading", "sampler.offset=1") == at("sampler.steps=7", "grid.use=uniform", "grid.spacing=leading", "grid.offset=1")
    for own in (["schedule.use=flow"], ["schedule.use=edm"]):
        assert at("sampler.steps=7", *own) == at("sampler.steps=7", "grid.use=uniform", *own)
    for n in (2, 5, 20):
        levels = [linear_ratio(t) for t in at(f"sampler.steps={n}", "grid.use=karras")]
        high, low = linear_ratio(999) ** (1 / 7), linear_ratio(0) ** (1 / 7)
        assert all(close(v, (high + i / (n - 1) * (low - high)) ** 7, 1e-6) for i, v in enumerate(levels)), levels
        levels = [math.log(linear_ratio(t)) for t in at(f"sampler.steps={n}", "grid.use=log_snr")]
        assert all(close(v, levels[0] + i / (n - 1) * (levels[-1] - levels[0]), 1e-6) for i, v in enumerate(levels)), levels
        levels = [math.log(linear_ratio(t)) for t in at(f"sampler.steps={n}", "grid.use=log_snr", "grid.last=least")]
        end = math.log(linear_ratio(0))
        assert all(close(v, levels[0] + i / n * (end - levels[0]), 1e-6) for i, v in enumerate(levels)), levels
    table = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152]
    assert all(close(linear_ratio(t), v, 1e-9) for t, v in zip(at("sampler.steps=10", "grid.use=ays"), table, strict=True))
    # scipy.stats.beta.ppf(1 - linspace(0, 1, 5), 0.6, 0.6)
    want = [1, 0.82431962, 0.5, 0.17568038, 0]
    assert all(close(t, 999 * v, 1e-8) for t, v in zip(at("sampler.steps=5", "grid.use=beta"), want, strict=True)), at("sampler.steps=5", "grid.use=beta")
    for n in (1, 2, 50, 999, 1000):
        t = at(f"sampler.steps={n}", "grid.use=quadratic")
        assert t[0] == 999 and all(a > b for a, b in zip(t, t[1:])) and t[-1] >= 0, t
    assert at("sampler.steps=3", "grid.use=list", "grid.timesteps=[900, 500.5, 3]") == [900, 500.5, 3]
    assert all(close(linear_ratio(t), v, 1e-9) for t, v in zip(at("sampler.steps=3", "grid.use=list", "grid.sigmas=[20,3,0.5]"), (20, 3, 0.5), strict=True))
    for own, says in ((["grid.use=list", "sampler.steps=0"], "grid.timesteps: both timesteps and sigmas are empty"),
                      (["grid.use=list", "grid.timesteps=[900,3]", "sampler.steps=5"], "sampler.steps: 5, but grid 'list' has 2"),
                      (["grid.use=list", "grid.timesteps=[3,900]", "sampler.steps=2"], "the noise must fall"),
                      (["grid.use=list", "grid.timesteps=[1000,3]", "sampler.steps=2"], "does not reach"),
                      (["grid.use=list", "grid.sigmas=[1000,3]", "sampler.steps=2"], "does not reach"),
                      (["grid.use=list", "grid.sigmas=[3]", "grid.timesteps=[3]", "sampler.steps=1"], "grid.sigmas: timesteps are given too"),
                      (["grid.use=karras", "sampler.spacing=trailing"], "sampler.spacing: the section grid places"),
                      (["grid.use=karras", "sampler.at=[3]"], "sampler.at: the section grid places"),
                      (["grid.use=uniform", "grid.offset=500", "grid.spacing=leading"], "grid.offset: 500 moves the first timestep"),
                      (["grid.use=uniform", "schedule.use=edm", "grid.spacing=linspace"], "grid.spacing: "),
                      (["grid.use=karras", "schedule.use=flow", "objective.predict=v"], "grid.s_max: 0 means"),
                      (["grid.use=karras", "grid.s_max=0.001"], "grid.s_max: 0.001 is not above"),
                      (["grid.use=exponential", "schedule.use=flow", "objective.predict=v"], "grid.s_max: 0 means"),
                      (["grid.use=exponential", "grid.s_max=0.001"], "grid.s_max: 0.001 is not above"),
                      (["grid.use=lu", "grid.lambda_min=9"], "grid.lambda_min: 9 is not below")):
        _, err = demist("check", config("moons.yaml"), *own, code=2)
        assert says in err, (own, err)
    for own, says in ((["sampler.steps=501", "sampler.spacing=leading"], "starts from pure noise at t = 501 of 1000"), (["grid.use=ays"], "starts from pure noise at t = 727"),
                      (["schedule.timesteps=100"], "noisiest level has a share of noise of only 0.7")):
        assert says in demist("check", config("moons.yaml"), *own)[1], own
    for n in (1, 2, 7, 501, 999, 1000):  # neither a grid nor a key of before: from the noisiest level, whatever n
        t = at(f"sampler.steps={n}")
        assert t[0] == 999 and t == at(f"sampler.steps={n}", "grid.use=uniform", "grid.spacing=trailing") and len(t) == n, t
    # k-diffusion's get_sigmas_polyexponential, and lambda even between two
    for rho, n in ((1, 2), (1, 10), (3, 10)):
        levels = [math.log(linear_ratio(t)) for t in at(f"sampler.steps={n}", "grid.use=exponential", f"grid.rho={rho}", "grid.s_max=20", "grid.s_min=0.1")]
        want = [(1 - i / (n - 1)) ** rho * (math.log(20) - math.log(0.1)) + math.log(0.1) for i in range(n)]
        assert all(close(a, b, 1e-6) for a, b in zip(levels, want, strict=True)), (levels, want)
    levels = [-math.log(linear_ratio(t)) for t in at("sampler.steps=5", "grid.use=lu", "grid.lambda_min=-3", "grid.lambda_max=2")]
    assert all(close(v, -3 + 5 * i / 4, 1e-6) for i, v in enumerate(levels)), levels
    for own in ([], ["sampler.steps=501", "grid.use=uniform"], ["sampler.steps=1", "sampler.at=[500]"],
                ["grid.use=list", "grid.timesteps=[500,3]", "sampler.steps=2"]):
        err = demist("check", config("moons.yaml"), *own)[1]
        assert "pure noise" not in err, (own, err)
    out, _ = demist("check", config("moons.yaml"), "grid.use=karras", "grid.rho=5")
    assert "grid:\n  use: karras\n  rho: 5" in out, out


run_tests([tables, timesteps, given_timesteps, curves, formulas, grids])
