"""tools/sampler_quality.py without a device: how many steps fit, what a sweep.csv says, which grid is chosen, the page.

Run by hand: DEMIST_SOURCE=TREE test_sampler_quality.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tools"))
import sampler_quality as q  # noqa: E402

CSV = """grid,sampler,seed,step,frechet,kid,seconds,state,reason
{use: karras},"{use: ddim, steps: 5, batch: 250}",2,20,3.5,,1,done,
{use: karras},"{use: ddim, steps: 5, batch: 250}",3,20,4.5,,1,done,
{use: uniform},"{use: ddim, steps: 5, batch: 250}",2,,,,,failed,"values, not finite"
"""
DDIM = "{use: ddim, steps: 5, batch: 250}"
ABOUT = {"features": "f", "count": 5000, "seeds": "2 and 3", "grids": "`karras`", "choose": 1000, "choose_seed": 1, "batch": 250,
         "device": "a device", "plot": "plot.png", "command": "tools/sampler_quality.py a b c", "run": "`r`"}


def steps():
    heun = {n: 2 * n - 1 for n in range(1, 40)}.get  # one to the data
    assert q.fit_steps(heun, 5, 2) == (3, 5), "more than most // cost"
    assert q.fit_steps(heun, 10, 2) == (5, 9), "never above"
    assert q.fit_steps(lambda n: n, 20, 1) == (20, 20)
    assert q.fit_steps(lambda n: n + 1, 5, 1) == (4, 5), "fewer than most // cost"
    assert q.fit_steps(lambda n: n + 12, 10, 1) is None
    assert q.fit_steps(lambda n: None, 5, 1) is None, "refused"
    assert q.fit_steps(lambda n: n if n < 4 else None, 5, 1) == (3, 3), "refused from 4 on"


def tolerances():
    def one(x):
        return 3 * round(2 / x)
    assert q.fit_tolerance(one, one, 10) == (0.707, 9)
    assert q.fit_tolerance(one, lambda x: one(x) + 2, 10) == (1, 8), "what fits in one batch does not in all"
    assert q.fit_tolerance(one, one, 5) is None
    assert q.fit_tolerance(lambda x: None, one, 5) is None


def choice():
    assert q.different({"a": [1, 2], "b": [1, 2.5], "c": [1, 2.0000001]}) == ["a", "b"]
    assert q.grouped({("b", "x"), ("a", "x"), ("a", "y"), ("a", "z"), ("b", "z")}) == {("a", "b"): ["x", "z"], ("a",): ["y"]}
    found = q.distances_of(CSV, ["karras", "uniform"])
    assert found == {("karras", DDIM): [3.5, 4.5]}, found
    first = {("karras", "x"): [2.0], ("uniform", "x"): [1.0]}
    ways = {("ddim", 5): {"karras": ("x", 5), "uniform": ("x", 4), "beta": ("x", 5)}, ("ddpm", 5): {}}
    assert q.chosen_grids(ways, first) == {("ddim", 5): ("uniform", "x", 4)}


def pages():
    best = {("ddim", 5): ("karras", DDIM, 5), ("adaptive", 10): ("uniform", "z", 9.75), ("ddim", 10): ("karras", "not measured", 9)}
    text = q.page(ABOUT, [5, 10], ["ddim", "restart, inner_steps: [2], restarts: [1]", "adaptive"], best,
                  {("karras", DDIM): [3.5, 4.5], ("uniform", "z"): [0.5, 0.5]})
    for line in ("| sampler | 5 | 10 |", "| `ddim` | 4 \u00b1 0.5 `karras` |  |", "| `restart` inner_steps 2 restarts 1 |  |  |",
                 "| `adaptive` |  | 0.5 \u00b1 0 its own (9.75) |", "    tools/sampler_quality.py a b c"):
        assert line in text.splitlines(), (line, text)
    resolved = "schedule:\n  use: linear\nnetwork:\n  use: unet\nobjective:\n  use: simple\ntrain:\n  steps: 20\n  batch: 64\n"
    about = q.describe_run(resolved, "20", "r")
    assert "`unet`" in about and "`linear`" in about and "20 steps of 64 images" in about, about


def main():
    steps()
    tolerances()
    choice()
    pages()
    print("steps, tolerances, grids and the page are as figures say")


if __name__ == "__main__":
    sys.exit(main())
