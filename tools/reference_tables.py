#!/usr/bin/env python3
"""The tables of docs/reference.md in Markdown, of what tools/reference has made.

usage: reference_tables.py RUNS    RUNS: the folder with features-fashion-mnist and reference/ in it
"""
import json
import sys
from pathlib import Path

OBJECTIVES = ("simple", "hybrid", "vlb")


def report(run, metric):
    return json.loads((run / "eval" / f"{metric}.json").read_text())


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def figures(quality):
    return [f"{quality['frechet']:.3f}", f"{quality['kid']:.4f} ± {quality['kid_error']:.4f}", f"{quality['precision']:.3f}", f"{quality['recall']:.3f}"]


def likelihood(runs):
    rows = []
    for name in runs:
        nll = report(runs[name], "nll")
        rows.append([name, f"{nll['bits_per_dim']['mean']:.3f} ± {nll['bits_per_dim']['error']:.3f}"]
                    + [f"{nll[part]['mean']:.{digits}}" for part, digits in (("L_T", "1e"), ("L_between", "3f"), ("L_0", "3f"))] + [nll["variance"], str(nll["count"])])
    table(["run", "bits/dim", "L_T", "L_1 to L_T-1", "L_0", "variance", "images"], rows)


def quality(runs):
    rows = []
    for name in runs:
        q = report(runs[name], "quality")
        rows.append([name] + figures(q["samples"]) + [f"{q['samples']['count']}", f"{q['sampling_seconds']:.0f} s"])
    for part in ("floor", "ceiling"):
        rows.append([f"{part} ({'test images' if part == 'floor' else 'noise'})"] + figures(q[part]) + [f"{q[part]['count']}", ""])
    table(["run", "Fréchet", "KID", "precision", "recall", "images", "sampling"], rows)
    print(f"Features: {q['features']['count']} of layer `{q['features']['layer']}`, weights sha256 {q['features']['sha256']}\n")


def schedules(root):
    made = {name: json.loads((root / "reference" / f"{name}.json").read_text()) for name in ("linear", "cosine")}
    count = len(made["linear"]["alpha_bar"])
    rows = [[f"{share:g}"] + [f"{made[name]['alpha_bar'][round(share * count) - 1]:.3g}" for name in made] for share in (0.25, 0.5, 0.75, 0.9, 0.98)]
    table(["t / T", "alpha_bar, linear", "alpha_bar, cosine"], rows)


def main():
    root = Path(sys.argv[1])
    runs = {f"{schedule}-{objective}": root / "reference" / f"{schedule}-{objective}" for schedule in ("linear", "cosine") for objective in OBJECTIVES}
    accuracy = report(root / "features-fashion-mnist", "accuracy")
    print(f"features-fashion-mnist: accuracy {accuracy['accuracy']:.4f} of {accuracy['count']} test images\n")
    likelihood(runs)
    quality(runs)
    print((root / "reference" / "linear-simple" / "sweep" / "sweep.md").read_text())
    schedules(root)


if __name__ == "__main__":
    main()
