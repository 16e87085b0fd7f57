#!/usr/bin/env python3
"""Expected values of the quality metrics: tests/unit/metrics_goldens.h.

Features come from a hash that tests/unit/metrics.c computes too. The Frechet distance is SciPy's formula (scipy.linalg.sqrtm of the product of the
covariances); KID, precision and recall are torch-fidelity's formulas in double precision. Needs numpy and scipy."""
import os

import numpy as np
import scipy
from scipy.linalg import sqrtm

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/unit/metrics_goldens.h")
# name, rows of a, rows of b, features, shift and scale of b, how strongly features share a common part
CASES = [("near", 400, 300, 24, 0.05, 1.0, 0.3), ("far", 257, 521, 33, 0.5, 1.4, 0.0), ("one", 50, 60, 1, 0.2, 0.7, 0.0),
         ("tied", 700, 700, 64, 0.1, 1.1, 0.95)]


def uniform(stream, n):
    """n doubles in [0,1): splitmix64 of stream * 2^32 + i."""
    with np.errstate(over="ignore"):
        z = (np.uint64(stream) << np.uint64(32)) + np.arange(1, n + 1, dtype=np.uint64)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * 2.0 ** -53


def features(stream, n, d, shift, scale, common):
    """f32[n,d]: each row's features share the row's first one by `common`."""
    u = uniform(stream, n * d).reshape(n, d)
    return (shift + scale * (u + common * u[:, :1])).astype(np.float32)


def frechet(x, y):
    a, b = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    diff = x.mean(0) - y.mean(0)
    root = np.trace(sqrtm(a @ b)).real
    return diff @ diff + np.trace(a) + np.trace(b) - 2 * root, np.trace(a), np.trace(b)


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd2(x, y):
    m = len(x)
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    off = lambda k: k.sum() - np.diagonal(k).sum()
    return (off(xx) + off(yy)) / (m * (m - 1)) - 2 * xy.sum() / (m * m)


def distances(x, y):
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def precision_recall(fake, real, k):
    radius = lambda x: np.sort(distances(x, x), 1)[:, k]
    between = distances(fake, real)
    return (between <= radius(real)).any(1).mean(), (between.T <= radius(fake)).any(1).mean()


rows = []
for i, (name, na, nb, d, shift, scale, common) in enumerate(CASES):
    a = features(2 * i, na, d, 0, 1, common).astype(np.float64)
    b = features(2 * i + 1, nb, d, shift, scale, common).astype(np.float64)
    m = min(na, nb)
    picked = [(7 * j + 3) % na for j in range(40)], [(11 * j + 5) % nb for j in range(40)]
    values = [*frechet(a, b), mmd2(a[:m], b[:m]), mmd2(a[picked[0]], b[picked[1]]), *precision_recall(a, b, 3), *precision_recall(a, b, 1)]
    rows.append('    {"%s", %d, %d, %d, %r, %r, %r, %s},' % (name, na, nb, d, shift, scale, common, ", ".join(repr(float(v)) for v in values)))

# By class: rows of a and b, and of each class Frechet distance, precision and recall (of as many of b as of a), the share
# that is found to be of it.
A, B, D, CLASSES = 200, 260, 8, 3
label = lambda n: np.array([(7 * i + i // 4) % CLASSES for i in range(n)])
a, b = features(30, A, D, 0, 1, 0.2).astype(np.float64), features(31, B, D, 0.1, 1.1, 0.2).astype(np.float64)
asked, found = label(A), np.array([(k + (i % 5 == 0)) % CLASSES for i, k in enumerate(label(A))])
by_class = []
for k in range(CLASSES):
    x, y = a[asked == k], b[label(B) == k]
    values = [frechet(x, y)[0], *precision_recall(x, y[:len(x)], 3), (found[asked == k] == k).mean()]
    by_class.append("    {%d, %d, %s}," % (len(x), len(y), ", ".join(repr(float(v)) for v in values)))
with open(OUT, "w") as f:
    f.write(f"/* Made by tools/make_metric_goldens.py with NumPy {np.__version__}, SciPy {scipy.__version__}. */\n"
            "static const struct golden {\n    const char *name;\n    int64_t na, nb, d;\n    double shift, scale, common, frechet, trace_a, trace_b, mmd2, mmd2_picked, "
            "precision3, recall3, precision1, recall1;\n} goldens[] = {\n" + "\n".join(rows) + "\n};\n"
            f"/* {A} and {B} rows of {D} features, by class. */\nstatic const struct class_golden {{\n    int64_t na, nb;\n    double frechet, precision3, "
            "recall3, share;\n} class_goldens[] = {\n" + "\n".join(by_class) + f"\n}};\nstatic const double class_share = {float((found == asked).mean())!r};\n")
