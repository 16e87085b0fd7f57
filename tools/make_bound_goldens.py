#!/usr/bin/env python3
"""Writes tests/unit/bound_goldens.h: ln of a Gaussian's mass in an interval, by mpmath with 60 digits, from the middle to
thousands of standard deviations away."""
import os

from mpmath import erfc, inf, log, mp, mpf, sqrt

mp.dps = 60
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/unit/bound_goldens.h")


def log_mass(low, high, mean, log_var):
    sd = mp.exp(mpf(log_var) / 2)
    a, b = (mpf(low) - mean) / sd, (mpf(high) - mean) / sd
    if b < -a:  # the tail that is the smaller
        a, b = -b, -a
    tail = lambda z: mpf(0) if z == inf else mpf(2) if z == -inf else erfc(z / sqrt(2))
    return log((tail(a) - tail(b)) / 2)


h = 1 / 255
cases = [(low, high, mean, lv) for mean, lv in ((0.1, -2), (0.1, -9), (-0.8, -12), (0.9, -14), (0.3, -4), (0.05, 3), (-2, -1))
         for low, high in ((-h, h), (-inf, -1 + h), (1 - h, inf), (-inf, inf), (0.5 - h, 0.5 + h), (-0.9 - h, -0.9 + h))]
number = lambda v: "INFINITY" if v == inf else "-INFINITY" if v == -inf else repr(float(v))
with open(OUT, "w") as f:
    f.write("/* Made by tools/make_bound_goldens.py: low, high, mean, log-variance, ln of the mass. */\n"
            "static const double masses[][5] = {\n")
    for c in cases:
        f.write("    {" + ", ".join(number(v) for v in (*c, log_mass(*c))) + "},\n")
    f.write("};\n")
