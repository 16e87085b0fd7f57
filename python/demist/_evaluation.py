"""What can be measured of a model, and what the measurements give."""
from __future__ import annotations

import math
import os
from ctypes import POINTER, byref, c_char_p, c_float, cast, pointer
from dataclasses import dataclass
from typing import Any, Literal, Union

import numpy as np
import numpy.typing as npt

from . import _library as c
from ._arguments import INT32, integer, text
from ._errors import InvalidArgument
from ._listen import Listener, Overrides, overrides_of

Metric = Literal["accuracy", "loss", "nll", "ode_nll", "quality"]


@dataclass(frozen=True)
class Mean:
    """A mean over images, with its standard error."""

    mean: float
    error: float


@dataclass(frozen=True)
class Accuracy:
    """How often a classifier is right on the test split: correct of count. error: the standard error of accuracy; loss:
    the mean cross entropy, in nats."""

    step: int
    count: int
    correct: int
    accuracy: float
    error: float
    loss: float


@dataclass(frozen=True)
class LossRow:
    """The loss of one set of weights ("raw", "ema.0", ...; rate: of the average), and that of each band of noise."""

    name: str
    rate: float
    loss: Mean
    bands: tuple[Mean, ...]


@dataclass(frozen=True)
class Loss:
    """The loss on held-out data, a row for each set of weights. Band i is from t = edges[i] to edges[i + 1]."""

    step: int
    count: int
    edges: tuple[float, ...]
    rows: tuple[LossRow, ...]


@dataclass(frozen=True)
class NLL:
    """The variational bound in bits per dimension: total = prior (L_T) + rate (all L_{t-1}) + decoder (L_0).

    t: f64[steps], rising, where each step of the chain begins. terms, errors: f64[steps], the mean of the term that
    ends there and its standard error; terms[0] is L_0. each: f64[count, steps + 1], the terms of each image and then
    its L_T, if asked for."""

    step: int
    count: int
    sampler: str
    learned_variance: bool
    seconds: float
    total: Mean
    prior: Mean
    rate: Mean
    decoder: Mean
    t: npt.NDArray[np.float64]
    terms: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    each: npt.NDArray[np.float64] | None


@dataclass(frozen=True)
class ODENLL:
    """The likelihood by the probability-flow ODE, in bits per dimension. probes: vectors of Hutchinson's estimate of
    the divergence, 0 where it is exact. levels: of the data, dequantized by uniform noise; 0 for continuous data, where
    total is of a density. least: sigma / alpha where the walk ends. each: f64[count], if asked for."""

    step: int
    count: int
    steps: int
    probes: int
    levels: int
    evaluations: int
    least: float
    seconds: float
    total: Mean
    each: npt.NDArray[np.float64] | None


@dataclass(frozen=True)
class QualityRow:
    """Distances of `count` images from the training images, in features: Frechet distance (frechet_means: the part that
    the means make), kernel distance with its standard error and a subset's standard deviation, precision, recall."""

    count: int
    frechet: float
    frechet_means: float
    kid: float
    kid_error: float
    kid_deviation: float
    kid_size: int
    precision: float
    recall: float


@dataclass(frozen=True)
class QualityClass:
    """The samples that were asked to be of one class. class_share: of these, those that the classifier takes for it,
    None without a classifier. row: against the `test` test images of the class, None unless by_class was asked for."""

    name: str
    count: int
    class_share: float | None
    test: int
    row: QualityRow | None


@dataclass(frozen=True)
class Quality:
    """How near samples are to the training images. floor: test images in place of samples, None where the data have no
    test split; ceiling: Gaussian noise. seconds: that sampling took. hash: SHA-256 of the features' network.
    class_share: of the samples of a model that is told the class, those that the features' network, a classifier, takes
    for the class asked for; else None."""

    step: int
    features_step: int
    train: int
    features: int
    layer: str
    hash: str
    neighbours: int
    subsets: int
    samples: QualityRow
    floor: QualityRow | None
    ceiling: QualityRow
    seconds: float
    about: str
    class_share: float | None = None
    class_share_error: float | None = None
    by_class: tuple[QualityClass, ...] = ()


Evaluation = Union[Accuracy, Loss, NLL, ODENLL, Quality]
Run = Union[str, "os.PathLike[str]"]


def _mean(m: Any) -> Mean:
    return Mean(m.mean, m.error)


def accuracy(listener: Listener, run: Run, overrides: Overrides, raw: bool) -> Accuracy:
    texts, n = overrides_of(overrides)
    options = c.AccuracyOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), raw=raw,
                                callbacks=pointer(listener.struct))
    a = c.Accuracy()
    listener.call(c.library().dm_eval_accuracy, text("run", run, path=True), byref(options), byref(a))
    return Accuracy(a.step, a.count, a.correct, a.accuracy, a.error, a.loss)


def loss(listener: Listener, run: Run, overrides: Overrides, raw: bool, *, count: int = 0, all: bool = False) -> Loss:
    texts, n = overrides_of(overrides)
    options = c.LossOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), raw=raw, all=all,
                            count=integer("count", count),
                            callbacks=pointer(listener.struct))
    x = c.Loss()
    listener.call(c.library().dm_eval_loss, text("run", run, path=True), byref(options), byref(x))
    return Loss(x.step, x.count, tuple(getattr(x, "from")[: x.bands + 1]),
                tuple(LossRow(r.name.decode(), r.rate, _mean(r.loss), tuple(map(_mean, r.band[: x.bands])))
                      for r in x.row[: x.rows]))


def nll(listener: Listener, run: Run, overrides: Overrides, raw: bool, *, count: int = 0, steps: int = 0,
        each: bool = False) -> NLL:
    texts, n = overrides_of(overrides)
    options = c.NLLOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), raw=raw, each=each,
                           steps=integer("steps", steps, 0, INT32), count=integer("count", count),
                           callbacks=pointer(listener.struct))
    x = c.NLL()
    try:
        listener.call(c.library().dm_eval_nll, text("run", run, path=True), byref(options), byref(x))
        terms = x.terms[: x.steps]
        return NLL(
            x.step, x.count, x.sampler.decode(), x.learned, x.seconds, _mean(x.total), _mean(x.prior), _mean(x.rate),
            _mean(x.decoder), np.array(x.t[: x.steps]), np.array([m.mean for m in terms]),
            np.array([m.error for m in terms]),
            np.ctypeslib.as_array(x.each, (x.count, x.steps + 1)).copy() if x.each else None)
    finally:
        c.library().dm_nll_free(byref(x))


def ode_nll(listener: Listener, run: Run, overrides: Overrides, raw: bool, *, count: int = 0, steps: int = 0,
            probes: int = 0, each: bool = False) -> ODENLL:
    texts, n = overrides_of(overrides)
    options = c.ODENLLOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), raw=raw, each=each,
                              steps=integer("steps", steps, 0, INT32), probes=integer("probes", probes, 0, INT32),
                              count=integer("count", count), callbacks=pointer(listener.struct))
    x = c.ODENLL()
    try:
        listener.call(c.library().dm_eval_ode_nll, text("run", run, path=True), byref(options), byref(x))
        return ODENLL(x.step, x.count, x.steps, x.probes, x.levels, x.evaluations, x.least, x.seconds, _mean(x.total),
                      np.ctypeslib.as_array(x.each, (x.count,)).copy() if x.each else None)
    finally:
        c.library().dm_ode_nll_free(byref(x))


def _row(r: Any) -> QualityRow:
    return QualityRow(*(getattr(r, name) for name, _ in c.QualityRow._fields_))


def _share(x: float) -> float | None:
    return None if math.isnan(x) else x


def _class(k: Any) -> QualityClass:
    return QualityClass(k.name.decode(), k.count, _share(k.class_share), k.test, _row(k.row) if k.row.count else None)


def quality(listener: Listener, run: Run, overrides: Overrides, raw: bool, *, features: Run, layer: str | None = None,
            count: int = 0, images: npt.ArrayLike | None = None, data: Overrides = None, neighbours: int = 0,
            subsets: int = 0, subset_size: int = 0, by_class: bool = False) -> Quality:
    texts, n = overrides_of(overrides)
    data_texts, n_data = overrides_of(data, name="data")
    options = c.QualityOptions(
        n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), raw=raw,
        features=text("features", features, path=True), layer=text("layer", layer) if layer else None,
        count=integer("count", count), data=cast(data_texts, POINTER(c_char_p)), n_data=n_data,
        neighbours=integer("neighbours", neighbours, 0, INT32), subsets=integer("subsets", subsets),
        subset_size=integer("subset_size", subset_size), by_class=bool(by_class),
        callbacks=pointer(listener.struct))
    if images is not None:
        x = np.ascontiguousarray(images, np.float32)
        if not 1 <= x.ndim <= 8:
            raise InvalidArgument(f"images are an array of {x.ndim} dimensions; 1 to 8 are possible")
        options.images, options.images_shape = cast(x.ctypes.data, POINTER(c_float)), c.Shape.of(x.shape)
    q = c.Quality()
    try:
        listener.call(c.library().dm_eval_quality, text("run", run, path=True), byref(options), byref(q))
        return Quality(q.step, q.features_step, q.train, q.features, q.layer.decode(), q.hash.decode(), q.neighbours,
                       q.subsets, _row(q.samples), _row(q.floor) if q.floor.count else None, _row(q.ceiling),
                       q.seconds, q.about.decode(errors="replace"), _share(q.class_share),
                       _share(q.class_share_error), tuple(map(_class, q.by_class[: q.classes])) if q.classes else ())
    finally:
        c.library().dm_quality_free(byref(q))
