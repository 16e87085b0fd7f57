"""Denoising diffusion on any OpenCL device: training, sampling and prediction through libdemist.

    model = demist.open("runs/x")
    images = model.sample(16, steps=50, seed=1)
"""
from __future__ import annotations

from ._errors import (Cancelled, Corrupt, DeviceError, Diverged, Error, InvalidArgument, IOFailure, NoSpace, NotFound,
                      OutOfMemory, PluginRefused)
from ._library import version
from ._listen import Progress
from ._model import Model, ModelInfo, Trace, open, pixels
from ._training import Training, TrainingState, check, train

__all__ = [
    "Cancelled", "Corrupt", "DeviceError", "Diverged", "Error", "IOFailure", "InvalidArgument", "Model", "ModelInfo",
    "NoSpace", "NotFound", "OutOfMemory", "PluginRefused", "Progress", "Trace", "Training", "TrainingState", "check",
    "open", "pixels", "train", "version",
]
__version__ = "0.1.0"
