#!/usr/bin/env python3
"""Writes tests/unit/assignment_goldens.h: random costs and what scipy's linear_sum_assignment makes of them (SciPy
1.17.1)."""
import os

import numpy as np
from scipy.optimize import linear_sum_assignment

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "unit", "assignment_goldens.h")


def costs(seed, n):
    """As tests/unit/assignment.c makes them: a linear congruential generator, in [0, 1)."""
    c, out = seed, []
    for _ in range(n * n):
        c = (c * 1664525 + 1013904223) % 2**32
        out.append((c >> 8) / 2**24)
    return np.array(out).reshape(n, n)


def main():
    cases = [(1, 1), (2, 2), (3, 3), (4, 5), (5, 16), (6, 31), (7, 64), (8, 200)]
    lines = ["/* Made by tools/make_assignment_goldens.py with scipy.optimize.linear_sum_assignment. */",
             "typedef struct golden { unsigned seed; int n; double total; int column[64]; } golden; /* of 64 at most */",
             "static const golden goldens[] = {"]
    for seed, n in cases:
        c = costs(seed, n)
        row, column = linear_sum_assignment(c)
        shown = ", ".join(str(k) for k in column[:64])
        lines.append(f"    {{{seed}, {n}, {c[row, column].sum():.17g},")
        text = f"     {{{shown}}}}},"
        while len(text) > 116:
            at = text.rfind(" ", 0, 116)
            lines.append(text[:at])
            text = "      " + text[at + 1:]
        lines.append(text)
    lines.append("};")
    open(OUT, "w").write("\n".join(lines) + "\n")


main()
