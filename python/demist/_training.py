"""Training: to the end by one call, or step by step."""
from __future__ import annotations

import os
from ctypes import POINTER, byref, c_char_p, c_double, cast, pointer
from dataclasses import dataclass
from typing import Any

from . import _library as c
from ._arguments import text
from ._handle import Handle
from ._listen import Listener, OnProgress, Overrides, overrides_of


@dataclass(frozen=True)
class TrainingState:
    """Where a training is; output is its run folder. loss, grad_norm and images_per_s are as last logged, NaN before;
    saved is the step of its last checkpoint, -1 where there is none."""

    step: int
    steps: int
    batch: int
    micro_batch: int
    parameters: int
    saved: int
    learning_rate: float
    loss: float
    grad_norm: float
    images_per_s: float
    best_loss: float
    output: str


class Training:
    """A training run at work. Its run folder is locked until close()."""

    def __init__(self, experiment: str | os.PathLike[str], overrides: Overrides = None, *, resume: bool = False,
                 overwrite: bool = False, progress: OnProgress = None) -> None:
        self._lib = c.library()
        self._handle = Handle("training", self._lib.dm_training_close)
        self._listener = Listener(progress)
        texts, n = overrides_of(overrides)
        options = c.TrainOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), resume=resume,
                                 overwrite=overwrite, callbacks=pointer(self._listener.struct))
        self._listener.call(self._lib.dm_training_open, text("experiment", experiment, path=True), byref(options),
                            byref(self._handle.pointer))

    def _call(self, function: Any, *arguments: Any) -> None:
        with self._handle.working() as handle:
            self._listener.call(function, handle, *arguments)

    @property
    def state(self) -> TrainingState:
        """Can be read inside a callback too. Another thread's call is waited for."""
        s = c.State()
        with self._handle.reading() as handle:
            Listener().call(self._lib.dm_training_info, handle, byref(s))  # the call around it keeps its own
            return TrainingState(s.step, s.steps, s.batch, s.micro_batch, s.parameters, s.saved, s.learning_rate,
                                 s.loss, s.grad_norm, s.images_per_s, s.best_loss, os.fsdecode(s.output))

    def step(self) -> None:
        """One optimizer step on the next batch."""
        self._call(self._lib.dm_training_step)

    def validate(self) -> float:
        """The loss on held-out data, which is logged; the best weights are kept."""
        loss = c_double()
        self._call(self._lib.dm_training_validate, byref(loss))
        return loss.value

    def save(self) -> None:
        """A checkpoint of the last step."""
        self._call(self._lib.dm_training_save)

    def run(self) -> None:
        """The rest of the steps, with what the experiment says. Ctrl-C stops it with a checkpoint saved."""
        self._call(self._lib.dm_training_run)

    def close(self) -> None:
        """Saves nothing. Waits for a call of another thread. May be called twice."""
        self._handle.close()

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.close()


def train(experiment: str | os.PathLike[str], overrides: Overrides = None, *, resume: bool = False,
          overwrite: bool = False, progress: OnProgress = None) -> str:
    """Trains the experiment in a YAML file to its end; returns its run folder.

    overrides: {"train.steps": 500} or ["train.steps=500"]. progress is called after each step."""
    with Training(experiment, overrides, resume=resume, overwrite=overwrite, progress=progress) as training:
        training.run()
        return training.state.output


def check(experiment: str | os.PathLike[str], overrides: Overrides = None) -> str:
    """Would it train and sample? The resolved experiment, parameters, work and memory, as text; faults go to the log
    and are an InvalidArgument."""
    lines: list[str] = []
    listener = Listener()

    def line(_user: Any, one: bytes) -> None:
        lines.append(one.decode(errors="replace"))

    texts, n = overrides_of(overrides)
    options = c.CheckOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), line=c.LINE(line),
                             callbacks=pointer(listener.struct))
    listener.call(c.library().dm_check, text("experiment", experiment, path=True), byref(options))
    return "\n".join(lines)
