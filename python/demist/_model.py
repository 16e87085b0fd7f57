"""A trained model on a device."""
from __future__ import annotations

import os
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int32, c_int64, cast, pointer
from dataclasses import dataclass
from typing import Any, Callable, Literal, Mapping, Optional, Sequence, Union, get_args, overload

import numpy as np
import numpy.typing as npt

from . import _evaluation
from . import _library as c
from ._arguments import INT32, integer, labels_of, text
from ._errors import InvalidArgument
from ._handle import Handle
from ._listen import Listener, OnProgress, Overrides, overrides_of, texts_of

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ModelInfo:
    """What a model is. shape: of one example, (C, H, W) or (D,). experiment: resolved, as YAML. class_names: () where
    they are not known. takes_class, takes_none: whether it can be asked for a class, and for none. conditions: the
    shapes of the images that it is told of each example, by name."""

    name: str
    shape: tuple[int, ...]
    classes: int
    label_width: int
    step: int
    parameters: int
    diffuses: bool
    pixels: bool
    low: float
    high: float
    network: str
    objective: str
    schedule: str | None
    sampler: str | None
    device: str
    precision: str
    experiment: str
    class_names: tuple[str, ...]
    takes_class: bool
    takes_none: bool
    conditions: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Trace:
    """x after step i of n, i = 0 being the noise: of images first.. of count."""

    i: int
    n: int
    first: int
    count: int
    x: Array


def _conditions(given: Mapping[str, npt.ArrayLike] | None) -> tuple[list[c.ConditionValue], list[Array]]:
    """As the library has them, and the arrays that they point into."""
    arrays = [np.ascontiguousarray(v, np.float32) for v in (given or {}).values()]
    return [c.ConditionValue(text("conditions", name), _pointer(a, c_float), c.Shape.of(_rank(a)))
            for name, a in zip(given or {}, arrays)], arrays


def _pointer(array: Any, kind: Any) -> Any:
    return cast(array.ctypes.data, POINTER(kind))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


class Model:
    """Opened by demist.open(). The first call of a shape sets it up, later ones begin at once."""

    def __init__(self, run: str | os.PathLike[str], *, device: str | None = None, precision: str | None = None,
                 raw: bool = False, overrides: Overrides = None, progress: OnProgress = None) -> None:
        self._lib = c.library()
        self._handle = Handle("model", self._lib.dm_model_close)
        self._listener = Listener(progress)
        self._run, self._raw = run, raw
        self._overrides = [
            *texts_of(overrides, {k: v for k, v in {"device": device, "precision": precision}.items() if v})]
        texts, n = overrides_of(overrides)
        options = c.ModelOptions(
            n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), device=text("device", device) if device else None,
            precision=text("precision", precision) if precision else None, raw=raw,
            callbacks=pointer(self._listener.struct))
        self._listener.call(self._lib.dm_model_open, text("run", run, path=True), byref(options),
                            byref(self._handle.pointer))
        self._info = self._read_info()

    def _read_info(self) -> ModelInfo:
        p = c.ModelProperties()
        Listener().call(self._lib.dm_model_info, self._handle.pointer, byref(p))
        return ModelInfo(
            name=_text(p.name) or "", shape=p.shape.extents, classes=p.classes, label_width=p.label_width, step=p.step,
            parameters=p.parameters, diffuses=p.diffuses, pixels=p.pixels, low=p.low, high=p.high,
            network=_text(p.network) or "", objective=_text(p.objective) or "", schedule=_text(p.schedule),
            sampler=_text(p.sampler), device=_text(p.device) or "", precision=_text(p.precision) or "",
            experiment=_text(p.experiment) or "",
            class_names=tuple((_text(p.class_names) or "").split("/")) if p.class_names else (),
            takes_class=bool(p.takes_class), takes_none=bool(p.takes_none),
            conditions={_text(k.name) or "": k.shape.extents for k in p.conditions[:p.n_conditions]})

    @property
    def info(self) -> ModelInfo:
        return self._info

    def _images(self, listener: Listener, call: Any, options: Any) -> Array:
        images = c.Images()
        with self._handle.working() as handle:
            try:
                listener.call(call, handle, byref(options), byref(images))
                return np.ctypeslib.as_array(images.x, images.shape.extents).copy()
            finally:
                self._lib.dm_images_free(byref(images))

    def sample(self, count: int | None = None, *, steps: int | None = None, seed: int | None = None,
               sampler: str | None = None, labels: npt.ArrayLike | None = None,
               classes: Sequence[int | str] | None = None, first_index: int = 0,
               noise: npt.ArrayLike | None = None, z: npt.ArrayLike | None = None,
               conditions: Mapping[str, npt.ArrayLike] | None = None, start: npt.ArrayLike | None = None,
               strength: float | None = None, mask: npt.ArrayLike | None = None, jumps: tuple[int, int] | None = None,
               overrides: Overrides = None, trace: Optional[Callable[[Trace], Any]] = None,
               progress: OnProgress = None) -> Array:
        """Images, float32 [count, C, H, W] (pixels in [-1, 1]) or points [count, D].

        steps, sampler and seed are of this call alone, and so are overrides, of the sampler: {"sampler.eta": 1}.
        labels: a class, or one for each image; None = all in turn where the model has classes. classes: in their place,
        by number or name, count images of each, [len(classes) * count, ...]; ["all"] are all, ["none"] is the null
        class. noise: x to begin with; z: for the sampler's draws. conditions: by name, [N, ...] of each image, or [1,
        ...] of all. start: images to change, [N, ...] or [1, ...]: noised to strength T, where sampling begins (0.6; 1:
        pure noise, as usual with a mask); mask: [N or 1, 1, H, W], 1 where they are drawn anew, 0 where they stay;
        jumps: (length, times), each so many steps taken so many times, which fits both parts together. trace is called
        after each step."""
        listener = self._listener if progress is None else Listener(progress)
        own: dict[str, Any] = {}
        if sampler is not None:
            text("sampler", sampler)
            own["sampler.use"] = sampler
        if steps is not None:
            own["sampler.steps"] = integer("steps", steps, 0, INT32)
        texts, n = overrides_of(own, overrides)
        x = None if noise is None else np.ascontiguousarray(noise, np.float32)
        draws = None if z is None else np.ascontiguousarray(z, np.float32)
        told, kept = _conditions(conditions)
        begin = None if start is None else np.ascontiguousarray(start, np.float32)
        holes = None if mask is None else np.ascontiguousarray(mask, np.float32)
        many = [len(v) for v in (*kept, *(a for a in (begin, holes) if a is not None)) if v.ndim and len(v) > 1]
        wanted = (integer("count", count, 1) if count is not None else len(x) if x is not None and x.ndim
                  else max(many, default=1))
        if classes is not None and (isinstance(classes, str) or not len(classes)):
            raise InvalidArgument(f"classes is {classes!r}; it must be a list of one class or more")
        asked = [text(f"classes[{i}]", k if isinstance(k, str) else str(integer(f"classes[{i}]", k, 0, INT32)))
                 for i, k in enumerate(() if classes is None else classes)]
        if wanted < 1:
            raise InvalidArgument(f"{wanted} images; at least 1")
        options = c.SampleOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)),
                                  count=wanted if not asked or count is not None else 0,
                                  first_index=integer("first_index", first_index, 0, 2**32 - 1),
                                  callbacks=pointer(listener.struct), n_classes=len(asked))
        if asked:
            options.classes = (c_char_p * len(asked))(*asked)
        if told:
            options.conditions, options.n_conditions = (c.ConditionValue * len(told))(*told), len(told)
        if begin is not None:
            options.start, options.start_shape = _pointer(begin, c_float), c.Shape.of(_rank(begin))
            options.strength = 0.6 if strength is None else float(strength)
        elif strength is not None:
            raise InvalidArgument(f"strength is {strength}; it is for start, images to change")
        if holes is not None:
            options.mask, options.mask_shape = _pointer(holes, c_float), c.Shape.of(_rank(holes))
        if jumps is not None:
            if len(jumps) != 2:
                raise InvalidArgument(f"jumps has {len(jumps)} numbers; it must be (length, times)")
            options.jump_length = integer("jumps[0]", jumps[0], 1, INT32)
            options.resamplings = integer("jumps[1]", jumps[1], 1, INT32)
        if seed is not None:
            options.seed = pointer(c_int64(integer("seed", seed, 0, 2**53)))
        if labels is not None:
            y = labels_of(labels)
            if y.shape not in ((), (wanted,)):
                raise InvalidArgument(f"labels have shape {y.shape}; one class, or [{wanted}]")
            y = np.ascontiguousarray(np.broadcast_to(y, (wanted,)))
            options.labels = _pointer(y, c_int32)
        if x is not None:
            options.noise, options.noise_shape = _pointer(x, c_float), c.Shape.of(_rank(x))
        if draws is not None:
            if x is None or draws.shape[1:] != x.shape:
                raise InvalidArgument(f"z has shape {draws.shape}; it needs noise, and its shape behind the draws")
            options.z, options.draws = _pointer(draws, c_float), draws.shape[0]
        if trace is not None:
            options.trace = c.TRACE(lambda _user, t: _traced(listener, trace, self.info.shape, t))
        return self._images(listener, self._lib.dm_model_sample, options)

    def invert(self, images: npt.ArrayLike, *, steps: int | None = None, classes: Sequence[int | str] | None = None,
               conditions: Mapping[str, npt.ArrayLike] | None = None, overrides: Overrides = None) -> Array:
        """The noise that images come from: sample(noise=...) by the same sampler, ddim with eta 0, gives nearly
        them."""
        own: dict[str, Any] = {} if steps is None else {"sampler.steps": integer("steps", steps, 0, INT32)}
        texts, n = overrides_of(own, overrides)
        x = np.ascontiguousarray(images, np.float32)
        told, _kept = _conditions(conditions)
        asked = [text(f"classes[{i}]", str(k)) for i, k in enumerate(() if classes is None else classes)]
        options = c.SampleOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)),
                                  count=len(x) if x.ndim else 1, callbacks=pointer(self._listener.struct),
                                  n_classes=len(asked), n_conditions=len(told),
                                  start=_pointer(x, c_float), start_shape=c.Shape.of(_rank(x)))
        if asked:
            options.classes = (c_char_p * len(asked))(*asked)
        if told:
            options.conditions = (c.ConditionValue * len(told))(*told)
        return self._images(self._listener, self._lib.dm_model_invert, options)

    def upscale(self, images: npt.ArrayLike, *, overlap: int | None = None, class_: int | str | None = None,
                steps: int | None = None, seed: int | None = None, overrides: Overrides = None) -> Array:
        """Images of any size enlarged by a super-resolution model (condition.derive: [downscale]), [N, C, H, W], by
        tiles that share at least `overlap` pixels of the small image (half a tile)."""
        own: dict[str, Any] = {} if steps is None else {"sampler.steps": integer("steps", steps, 0, INT32)}
        texts, n = overrides_of(own, overrides)
        x = np.ascontiguousarray(images, np.float32)
        options = c.UpscaleOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), images=_pointer(x, c_float),
                                   shape=c.Shape.of(_rank(x)), callbacks=pointer(self._listener.struct),
                                   overlap=0 if overlap is None else integer("overlap", overlap, 1, INT32))
        if class_ is not None:
            name = class_ if isinstance(class_, str) else str(integer("class_", class_, 0, INT32))
            options.class_name = text("class_", name)
        if seed is not None:
            options.seed = pointer(c_int64(integer("seed", seed, 0, 2**53)))
        return self._images(self._listener, self._lib.dm_model_upscale, options)

    def predict(self, x: npt.ArrayLike, t: npt.ArrayLike, labels: npt.ArrayLike | None = None,
                conditions: Mapping[str, npt.ArrayLike] | None = None) -> Array:
        """The network alone, [N, out_channels, ...]: x is [N, C, H, W] or [N, D], t what it is told of the noise
        (0-based steps for the published objectives), one number or [N], labels a class, [N] classes, or [N,
        label_width]; conditions as in sample."""
        inputs = np.ascontiguousarray(x, np.float32)
        n = inputs.shape[0] if inputs.ndim else 0
        times = np.ascontiguousarray(np.broadcast_to(np.asarray(t, np.float64), (n,)))
        options = c.PredictOptions(shape=c.Shape.of(_rank(inputs)), x=_pointer(inputs, c_float),
                                   t=_pointer(times, c_double), callbacks=pointer(self._listener.struct))
        told, _kept = _conditions(conditions)
        if told:
            options.conditions, options.n_conditions = (c.ConditionValue * len(told))(*told), len(told)
        if labels is not None and np.ndim(labels) == 2:
            vectors = np.ascontiguousarray(labels, np.float32)
            if vectors.shape[0] != n:
                raise InvalidArgument(f"labels have shape {vectors.shape}; they must be [{n}, width]")
            options.vectors, options.vector_width = _pointer(vectors, c_float), vectors.shape[1]
        elif labels is not None:
            y = np.ascontiguousarray(np.broadcast_to(labels_of(labels), (n,)))
            options.labels = _pointer(y, c_int32)
        return self._images(self._listener, self._lib.dm_model_predict, options)

    @overload
    def evaluate(self, metric: Literal["accuracy"], *, overrides: Overrides = None,
                 progress: OnProgress = None) -> _evaluation.Accuracy: ...

    @overload
    def evaluate(self, metric: Literal["loss"], *, count: int = 0, all: bool = False, overrides: Overrides = None,
                 progress: OnProgress = None) -> _evaluation.Loss: ...

    @overload
    def evaluate(self, metric: Literal["nll"], *, count: int = 0, steps: int = 0, each: bool = False,
                 overrides: Overrides = None, progress: OnProgress = None) -> _evaluation.NLL: ...

    @overload
    def evaluate(self, metric: Literal["ode_nll"], *, count: int = 0, steps: int = 0, probes: int = 0,
                 each: bool = False, overrides: Overrides = None,
                 progress: OnProgress = None) -> _evaluation.ODENLL: ...

    @overload
    def evaluate(self, metric: Literal["quality"], *, features: str | os.PathLike[str], layer: str | None = None,
                 count: int = 0, images: npt.ArrayLike | None = None, data: Overrides = None, neighbours: int = 0,
                 subsets: int = 0, subset_size: int = 0, by_class: bool = False, overrides: Overrides = None,
                 progress: OnProgress = None) -> _evaluation.Quality: ...

    def evaluate(self, metric: _evaluation.Metric, *, overrides: Overrides = None, progress: OnProgress = None,
                 **options: Any) -> _evaluation.Evaluation:
        """Measures the model: the experiment's data are read, and the newest checkpoint of the run is opened for it.

        "accuracy" of a classifier on the test split. "loss" on held-out data: of the first `count` examples (0 = all),
        of each set of weights if `all`. "nll", the variational bound in bits per dimension: `steps` of the chain (0 =
        all), the terms of each image if `each`. "ode_nll", the likelihood by the probability-flow ODE: `steps` of Runge
        and Kutta's method (0 = sampler.steps), `probes` of the divergence (0 = exact in few dimensions). "quality", how
        near `count` samples (0 = 10000) are to the training images in the features of another run's network: `features`
        is that run; `images` are taken instead of samples, or `data`, {"data.use": "npy", "data.file": "x.npy"};
        by_class: also those of each class with the test images of it. overrides are of this call: another sampler,
        steps, seed, data."""
        measure = getattr(_evaluation, metric) if metric in get_args(_evaluation.Metric) else None
        if measure is None:
            raise ValueError(f"metric is 'accuracy', 'loss', 'nll', 'ode_nll' or 'quality', not {metric!r}")
        self._handle.check_open()
        listener = Listener(progress or self._listener.progress)
        result: _evaluation.Evaluation = measure(listener, self._run, texts_of(self._overrides, overrides), self._raw,
                                                 **options)
        return result

    def close(self) -> None:
        """Frees the device, after a call of another thread; the model cannot be used any more. May be called twice."""
        self._handle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.close()

    def __repr__(self) -> str:
        i = self._info
        return (f"<demist.Model '{i.name}': {i.network}, {i.objective}, examples {list(i.shape)}, step {i.step}, "
                f"{i.parameters} parameters, on {i.device}{'' if self._handle.pointer else ', closed'}>")


def _rank(array: npt.NDArray[Any]) -> tuple[int, ...]:
    if not 1 <= array.ndim <= 8:
        raise InvalidArgument(f"an array of {array.ndim} dimensions; 1 to 8 are possible")
    return array.shape


def _traced(listener: Listener, trace: Callable[[Trace], Any], shape: tuple[int, ...], info: Any) -> None:
    try:
        t = info.contents
        if not listener.failure:
            trace(Trace(t.i, t.n, t.first, t.count, np.ctypeslib.as_array(t.x, (t.n_images, *shape)).copy()))
    except BaseException as e:  # noqa: B902
        listener.failure = listener.failure or e


def open(run: Union[str, os.PathLike[str]], *, device: str | None = None, precision: str | None = None,
         raw: bool = False, overrides: Overrides = None, progress: OnProgress = None) -> Model:
    """Opens a run folder, a checkpoint or a folder in diffusers' layout on a device.

    device: "auto", "0:0", part of a name; precision: "fp32", "bf16", "fp16"; None = as the experiment says. raw: the
    raw weights, not their first average. overrides: {"sampler.steps": 20} or ["sampler.steps=20"]. progress is called
    by sample()."""
    return Model(run, device=device, precision=precision, raw=raw, overrides=overrides, progress=progress)


def pixels(images: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Images [N, C, H, W] in [-1, 1] as uint8 [N, H, W, C], as plots and PNG take them."""
    x = np.clip(np.asarray(images, np.float32), -1, 1)
    return np.moveaxis(np.rint((x + 1) * 127.5).astype(np.uint8), 1, -1)
