#!/usr/bin/env python3
"""Writes docs/combinations.md: runs BUILD/tests/parity/parity_combinations, or reads the CSV that it has written
(--csv FILE), and shows the best ten grids and samplers of each schedule and prediction.
    tools/best_combinations.py build"""
import collections
import csv
import io
import pathlib
import subprocess
import sys

HEAD = """# Schedules, predictions, grids and samplers, each with each

Made by `tools/best_combinations.py`; do not edit. Each row is a walk of 50 steps with the exact prediction of a mixture
of two Gaussians in one dimension (network `exact_gaussians`), so that what is measured is the sampler on its grid and
not a network. *Error* is the root mean square distance from where the probability-flow ODE ends, over 64 starts at its
quantiles; the mixture's standard deviation is 0.64. Samplers that add noise are left out of the ranking: their points
are compared with the quantiles of the mixture, from which 64 of them differ by chance alone. A prediction that is exact
is the same in every form, so forms share a table where they differ by rounding. Nothing is clipped. All rows, refusals
with their reasons too, are in the CSV that `build/tests/parity/parity_combinations` prints.

{counts}

"""


def rows_of(args):
    if "--csv" in args:
        text = pathlib.Path(args[args.index("--csv") + 1]).read_text()
    else:
        text = subprocess.run([f"{args[0]}/tests/parity/parity_combinations"], stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = text[text.index("schedule,prediction"):].splitlines()
    return list(csv.DictReader(io.StringIO("\n".join(line for line in lines if line.count(",") >= 6))))


def short(sampler):
    name, *keys = sampler.split(", ")
    return " ".join([f"`{name}`", *(k.replace("method: ", "").replace("order: ", "order ").replace(": ", " ") for k in keys)])


def noisy(row):
    return row["sampler"].startswith(("ddpm", "restart")) or "eta: 1" in row["sampler"]


def main():
    rows = rows_of(sys.argv[1:])
    done = [r for r in rows if r["error"]]
    by_ddim = {(r["schedule"], r["prediction"], r["grid"]): float(r["error"]) for r in done if r["sampler"] == "ddim"}
    ranked = [r for r in done if not noisy(r)]
    worse = [r for r in ranked if float(r["error"]) > 2 * by_ddim[r["schedule"], r["prediction"], r["grid"]] + 1e-6]
    counts = (f"Of {len(rows)} combinations {len(rows) - len(done)} are refused, each with its reason; the other {len(done)} are finite.\n"
              f"Without noise, {len(worse)} of {len(ranked)} are worse than twice `ddim` on the same grid")
    per = collections.Counter((short(r["sampler"]), r["grid"]) for r in worse)
    counts += ":\n\n| sampler | grid | times |\n| --- | --- | --- |\n" + "\n".join(f"| {s} | `{g}` | {n} |" for (s, g), n in per.most_common()) if per else "."
    out = HEAD.format(counts=counts)
    for schedule in dict.fromkeys(r["schedule"] for r in rows):
        tables = collections.defaultdict(list)
        for p in dict.fromkeys(r["prediction"] for r in rows if r["schedule"] == schedule):
            some = [r for r in ranked if r["schedule"] == schedule and r["prediction"] == p]
            best = sorted(some, key=lambda r: (float(f"{float(r['error']):.2g}"), int(r["evaluations"]), r["grid"], r["sampler"]))[:10]
            tables["".join(f"| `{r['grid']}` | {short(r['sampler'])} | {float(r['error']):.2g} | {r['evaluations']} |\n" for r in best)].append(p)
        out += f"## `{schedule}`\n\n"
        for table, some in tables.items():
            names = ", ".join(f"`{p}`" for p in some)
            out += f"{names}:\n\n| grid | sampler | error | evaluations |\n| --- | --- | --- | --- |\n{table}\n" if table else f"{names}: refused.\n\n"
    pathlib.Path("docs/combinations.md").write_text(out.rstrip("\n") + "\n")


main()
