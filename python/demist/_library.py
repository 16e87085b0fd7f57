"""libdemist by ctypes: the structs and calls of <demist/demist.h> that the package uses."""
from __future__ import annotations

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64,
                    c_uint32, c_void_p)
from pathlib import Path
from typing import Any

SONAME = "libdemist.so.1"


class Sized(Structure):
    """A struct of the header that begins with its size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(size=ctypes.sizeof(self), **fields)


class Shape(Structure):
    _fields_ = [("rank", c_int32), ("dim", c_int64 * 8)]

    @staticmethod
    def of(extents: tuple[int, ...]) -> Shape:
        return Shape(len(extents), (c_int64 * 8)(*extents, *[1] * (8 - len(extents))))

    @property
    def extents(self) -> tuple[int, ...]:
        return tuple(self.dim[: self.rank])


class Err(Structure):
    _fields_ = [("code", c_int), ("msg", c_char * 1024)]


class ProgressInfo(Sized):
    _fields_ = [("size", c_uint32), ("what", c_char_p), ("step", c_int64), ("steps", c_int64), ("per_step", c_double),
                ("loss", c_double), ("percent", c_int64)]


LOG = CFUNCTYPE(None, c_void_p, c_int, c_char_p)
PROGRESS = CFUNCTYPE(None, c_void_p, POINTER(ProgressInfo))
CANCELLED = CFUNCTYPE(c_bool, c_void_p)
LINE = CFUNCTYPE(None, c_void_p, c_char_p)


class Callbacks(Sized):
    _fields_ = [("size", c_uint32), ("user", c_void_p), ("log", LOG), ("progress", PROGRESS), ("cancelled", CANCELLED),
                ("override_name", c_char_p)]


class ModelOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("device", c_char_p),
                ("precision", c_char_p), ("raw", c_bool), ("profile", c_bool), ("callbacks", POINTER(Callbacks)),
                ("ranks", c_int64)]


class Condition(Structure):
    _fields_ = [("name", c_char_p), ("kind", c_int), ("classes", c_int32), ("shape", Shape)]


class ModelProperties(Sized):
    _fields_ = [("size", c_uint32), ("classes", c_int32), ("shape", Shape), ("label_width", c_int64),
                ("step", c_int64), ("parameters", c_int64), ("diffuses", c_bool), ("pixels", c_bool),
                ("low", c_double), ("high", c_double), ("name", c_char_p), ("network", c_char_p),
                ("objective", c_char_p), ("schedule", c_char_p), ("sampler", c_char_p), ("device", c_char_p),
                ("precision", c_char_p), ("experiment", c_char_p), ("latents", c_char_p),
                ("class_names", c_char_p), ("takes_class", c_int32), ("takes_none", c_int32),
                ("conditions", POINTER(Condition)), ("n_conditions", c_int64), ("examples", c_int64)]


class TraceInfo(Sized):
    _fields_ = [("size", c_uint32), ("i", c_int32), ("n", c_int32), ("first", c_int64), ("n_images", c_int64),
                ("count", c_int64), ("example", c_int64), ("x", POINTER(c_float)), ("log_snr", c_double)]


TRACE = CFUNCTYPE(None, c_void_p, POINTER(TraceInfo))


class ConditionValue(Structure):
    _fields_ = [("name", c_char_p), ("x", POINTER(c_float)), ("shape", Shape)]


class SampleOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)),
                ("seed", POINTER(c_int64)), ("count", c_int64), ("first_index", c_int64), ("labels", POINTER(c_int32)),
                ("noise", POINTER(c_float)), ("noise_shape", Shape), ("z", POINTER(c_float)), ("draws", c_int64),
                ("trace", TRACE), ("trace_user", c_void_p), ("callbacks", POINTER(Callbacks)),
                ("classes", POINTER(c_char_p)), ("n_classes", c_int64), ("conditions", POINTER(ConditionValue)),
                ("n_conditions", c_int64), ("start", POINTER(c_float)), ("start_shape", Shape), ("strength", c_double),
                ("mask", POINTER(c_float)), ("mask_shape", Shape), ("jump_length", c_int64), ("resamplings", c_int64)]


class UpscaleOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)),
                ("seed", POINTER(c_int64)), ("images", POINTER(c_float)), ("shape", Shape), ("overlap", c_int64),
                ("class_name", c_char_p), ("callbacks", POINTER(Callbacks))]


class Images(Sized):
    _fields_ = [("size", c_uint32), ("steps", c_int32), ("shape", Shape), ("x", POINTER(c_float)), ("pixels", c_bool),
                ("evaluations", c_int64), ("seconds", c_double), ("about", c_char * 512)]


class PredictOptions(Sized):
    _fields_ = [("size", c_uint32), ("shape", Shape), ("x", POINTER(c_float)), ("t", POINTER(c_double)),
                ("labels", POINTER(c_int32)), ("vectors", POINTER(c_float)), ("vector_width", c_int64),
                ("callbacks", POINTER(Callbacks)), ("conditions", POINTER(ConditionValue)), ("n_conditions", c_int64)]


class TrainOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("resume", c_bool),
                ("overwrite", c_bool), ("profile", c_bool), ("data_changed", c_bool), ("argc", c_int32),
                ("argv", POINTER(c_char_p)), ("callbacks", POINTER(Callbacks)), ("ranks", c_int64)]


class State(Sized):
    _fields_ = [("size", c_uint32), ("step", c_int64), ("steps", c_int64), ("batch", c_int64),
                ("micro_batch", c_int64), ("parameters", c_int64), ("saved", c_int64), ("learning_rate", c_double),
                ("loss", c_double), ("grad_norm", c_double), ("images_per_s", c_double), ("best_loss", c_double),
                ("output", c_char_p)]


class CheckOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("explain", c_bool),
                ("line", LINE), ("line_user", c_void_p), ("callbacks", POINTER(Callbacks)), ("data", c_int64)]


class AccuracyOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("raw", c_bool),
                ("callbacks", POINTER(Callbacks)), ("ranks", c_int64)]


class Accuracy(Sized):
    _fields_ = [("size", c_uint32), ("step", c_int64), ("count", c_int64), ("correct", c_int64),
                ("accuracy", c_double), ("error", c_double), ("loss", c_double)]


class QualityOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("raw", c_bool),
                ("features", c_char_p), ("layer", c_char_p), ("count", c_int64), ("images", POINTER(c_float)),
                ("images_shape", Shape), ("data", POINTER(c_char_p)), ("n_data", c_int32), ("neighbours", c_int32),
                ("subsets", c_int64), ("subset_size", c_int64), ("features_done", c_void_p),
                ("features_user", c_void_p), ("kept", c_void_p), ("callbacks", POINTER(Callbacks)), ("ranks", c_int64),
                ("by_class", c_int64)]


class QualityRow(Structure):
    _fields_ = [("count", c_int64), ("frechet", c_double), ("frechet_means", c_double), ("kid", c_double),
                ("kid_error", c_double), ("kid_deviation", c_double), ("kid_size", c_int64), ("precision", c_double),
                ("recall", c_double)]


class QualityClass(Structure):
    _fields_ = [("name", c_char_p), ("count", c_int64), ("class_share", c_double), ("test", c_int64),
                ("row", QualityRow)]


class Quality(Sized):
    _fields_ = [("size", c_uint32), ("neighbours", c_int32), ("step", c_int64), ("features_step", c_int64),
                ("train", c_int64), ("features", c_int64), ("subsets", c_int64), ("samples", QualityRow),
                ("floor", QualityRow), ("ceiling", QualityRow), ("seconds", c_double), ("layer", c_char * 160),
                ("hash", c_char * 72), ("about", c_char * 512), ("class_share", c_double),
                ("class_share_error", c_double), ("classes", c_int64), ("by_class", POINTER(QualityClass))]


class NLLOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("raw", c_bool),
                ("each", c_bool), ("steps", c_int32), ("count", c_int64), ("callbacks", POINTER(Callbacks)),
                ("ranks", c_int64)]


class Mean(Structure):
    _fields_ = [("mean", c_double), ("error", c_double)]


class NLL(Sized):
    _fields_ = [("size", c_uint32), ("steps", c_int32), ("step", c_int64), ("count", c_int64), ("total", Mean),
                ("prior", Mean), ("rate", Mean), ("decoder", Mean), ("t", POINTER(c_double)), ("terms", POINTER(Mean)),
                ("each", POINTER(c_double)), ("learned", c_bool), ("seconds", c_double), ("sampler", c_char * 64),
                ("levels", c_int64)]


class ODENLLOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("raw", c_bool),
                ("each", c_bool), ("steps", c_int32), ("probes", c_int32), ("count", c_int64),
                ("callbacks", POINTER(Callbacks)), ("ranks", c_int64)]


class ODENLL(Sized):
    _fields_ = [("size", c_uint32), ("steps", c_int32), ("probes", c_int32), ("levels", c_int32), ("step", c_int64),
                ("count", c_int64), ("evaluations", c_int64), ("total", Mean), ("least", c_double),
                ("each", POINTER(c_double)), ("seconds", c_double)]


class LossOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("raw", c_bool),
                ("all", c_bool), ("count", c_int64), ("callbacks", POINTER(Callbacks)), ("ranks", c_int64)]


class LossRow(Structure):
    _fields_ = [("name", c_char * 16), ("rate", c_double), ("loss", Mean), ("band", Mean * 4)]


class Loss(Sized):
    _fields_ = [("size", c_uint32), ("bands", c_int32), ("rows", c_int32), ("step", c_int64), ("count", c_int64),
                ("from", c_double * 5), ("row", LossRow * 5)]


class ExportOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("raw", c_bool),
                ("overwrite", c_bool), ("callbacks", POINTER(Callbacks))]


class ConvertOptions(Sized):
    _fields_ = [("size", c_uint32), ("n_overrides", c_int32), ("overrides", POINTER(c_char_p)), ("height", c_int64),
                ("width", c_int64), ("by_part", c_bool), ("overwrite", c_bool), ("callbacks", POINTER(Callbacks))]


# What each struct is called in the header: the tests compare where the fields lie.
STRUCTS: dict[str, type[Structure]] = {
    "dm_shape": Shape, "dm_progress_info": ProgressInfo, "dm_callbacks": Callbacks, "dm_model_options": ModelOptions,
    "dm_model_properties": ModelProperties, "dm_trace_info": TraceInfo, "dm_sample_options": SampleOptions,
    "dm_condition_value": ConditionValue,
    "dm_images": Images, "dm_predict_options": PredictOptions, "dm_train_options": TrainOptions,
    "dm_training_state": State, "dm_check_options": CheckOptions, "dm_accuracy_options": AccuracyOptions,
    "dm_accuracy": Accuracy, "dm_quality_options": QualityOptions, "dm_quality_row": QualityRow, "dm_quality": Quality,
    "dm_quality_class": QualityClass,
    "dm_nll_options": NLLOptions, "dm_mean": Mean, "dm_nll": NLL, "dm_ode_nll_options": ODENLLOptions,
    "dm_ode_nll": ODENLL, "dm_loss_options": LossOptions,
    "dm_loss_row": LossRow, "dm_loss": Loss, "dm_export_options": ExportOptions, "dm_convert_options": ConvertOptions,
}

_CALLS: dict[str, tuple[Any, ...]] = {
    "dm_model_open": (c_char_p, POINTER(ModelOptions), POINTER(c_void_p), POINTER(Err)),
    "dm_model_info": (c_void_p, POINTER(ModelProperties), POINTER(Err)),
    "dm_model_sample": (c_void_p, POINTER(SampleOptions), POINTER(Images), POINTER(Err)),
    "dm_model_upscale": (c_void_p, POINTER(UpscaleOptions), POINTER(Images), POINTER(Err)),
    "dm_model_invert": (c_void_p, POINTER(SampleOptions), POINTER(Images), POINTER(Err)),
    "dm_model_predict": (c_void_p, POINTER(PredictOptions), POINTER(Images), POINTER(Err)),
    "dm_training_open": (c_char_p, POINTER(TrainOptions), POINTER(c_void_p), POINTER(Err)),
    "dm_training_step": (c_void_p, POINTER(Err)),
    "dm_training_validate": (c_void_p, POINTER(c_double), POINTER(Err)),
    "dm_training_save": (c_void_p, POINTER(Err)),
    "dm_training_run": (c_void_p, POINTER(Err)),
    "dm_training_info": (c_void_p, POINTER(State), POINTER(Err)),
    "dm_check": (c_char_p, POINTER(CheckOptions), POINTER(Err)),
    "dm_eval_accuracy": (c_char_p, POINTER(AccuracyOptions), POINTER(Accuracy), POINTER(Err)),
    "dm_eval_quality": (c_char_p, POINTER(QualityOptions), POINTER(Quality), POINTER(Err)),
    "dm_eval_nll": (c_char_p, POINTER(NLLOptions), POINTER(NLL), POINTER(Err)),
    "dm_eval_ode_nll": (c_char_p, POINTER(ODENLLOptions), POINTER(ODENLL), POINTER(Err)),
    "dm_eval_loss": (c_char_p, POINTER(LossOptions), POINTER(Loss), POINTER(Err)),
    "dm_export": (c_char_p, c_char_p, c_char_p, POINTER(ExportOptions), POINTER(Err)),
    "dm_convert": (c_char_p, c_char_p, POINTER(ConvertOptions), POINTER(Err)),
}
_VOID_CALLS: dict[str, tuple[Any, ...]] = {
    "dm_model_close": (c_void_p,), "dm_training_close": (c_void_p,), "dm_images_free": (POINTER(Images),),
    "dm_nll_free": (POINTER(NLL),), "dm_quality_free": (POINTER(Quality),), "dm_ode_nll_free": (POINTER(ODENLL),),
}

_loaded: ctypes.CDLL | None = None


def _bundled() -> str | None:
    """The library of the folder that this package was unpacked with, once what it needs and the system lacks is
    loaded."""
    folder = Path(__file__).resolve().parents[2] / "lib"
    if not (folder / SONAME).exists():
        return None
    missing = [f for f in sorted(folder.glob("fallback/*/*")) if not _loads(f.name)]
    # They need each other, in an order that is not known here.
    while missing and (rest := [f for f in missing if not _loads(str(f))]) != missing:
        missing = rest
    return str(folder / SONAME)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def library() -> ctypes.CDLL:
    """The library that DEMIST_LIBRARY names, that of tools/bundle's archive, or the installed one; loaded when it is
    first needed."""
    global _loaded
    if _loaded is None:
        name = os.environ.get("DEMIST_LIBRARY") or _bundled() or SONAME
        try:
            lib = ctypes.CDLL(name)
        except OSError as why:
            raise ImportError(f"unable to load libdemist: {why}; install demist, or set DEMIST_LIBRARY to the path of "
                              f"{SONAME}") from why
        lib.dm_version.restype = c_char_p
        lib.dm_version.argtypes = ()
        for call, arguments in _CALLS.items():
            function = getattr(lib, call, None)
            if function is None:
                raise ImportError(f"'{name}' is demist {lib.dm_version().decode()} and has no {call}: this package "
                                  f"needs {SONAME}")
            function.restype, function.argtypes = c_int, arguments
        for call, arguments in _VOID_CALLS.items():
            function = getattr(lib, call)
            function.restype, function.argtypes = None, arguments
        _loaded = lib
    return _loaded


def version() -> str:
    """Of the library."""
    return str(library().dm_version().decode())
