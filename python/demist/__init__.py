"""Denoising diffusion on any OpenCL device: training, sampling, prediction and evaluation through libdemist.

    model = demist.open("runs/x")
    images = model.sample(16, steps=50, seed=1)
"""
from __future__ import annotations

from ._errors import (Cancelled, Corrupt, DeviceError, Diverged, Error, InvalidArgument, IOFailure, NoSpace, NotFound,
                      OutOfMemory, PluginRefused)
from ._evaluation import NLL, ODENLL, Accuracy, Loss, LossRow, Mean, Quality, QualityClass, QualityRow
from ._formats import convert, export
from ._library import version
from ._listen import Progress
from ._model import Model, ModelInfo, Trace, open, pixels
from ._training import Training, TrainingState, check, train

__all__ = [
    "NLL", "ODENLL", "Accuracy", "Cancelled", "Corrupt", "DeviceError", "Diverged", "Error", "IOFailure",
    "InvalidArgument", "Loss", "LossRow", "Mean", "Model", "ModelInfo", "NoSpace", "NotFound", "OutOfMemory",
    "PluginRefused", "Progress", "Quality", "QualityClass", "QualityRow", "Trace", "Training", "TrainingState", "check",
    "convert", "export", "open", "pixels", "train", "version",
]
__version__ = "0.1.0"
