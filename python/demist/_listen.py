"""What a call reports while it works, how it is stopped, and how its failure becomes an exception."""
from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from . import _library as c
from ._arguments import text
from ._errors import error_of

logger = logging.getLogger("demist")
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)

Overrides = Union[Mapping[str, Any], Sequence[str], None]


@dataclass(frozen=True)
class Progress:
    """What is done: step of steps; per_step images each; loss is NaN where there is none. percent: steps are hundredths
    of the work, where a sampler chooses its own."""

    what: str
    step: int
    steps: int
    per_step: float
    loss: float
    percent: bool = False


OnProgress = Optional[Callable[[Progress], Any]]


class Listener:
    """Callbacks of one call, or of all calls of a training. No exception leaves a callback: the first is kept, asks the
    library to stop, and is raised when the call returns."""

    def __init__(self, progress: OnProgress = None) -> None:
        self.progress = progress
        self.failure: BaseException | None = None
        self.interrupted = False
        self.errors: list[str] = []    # as logged: each fault of an experiment, at its place
        self.struct = c.Callbacks(log=c.LOG(self._log), progress=c.PROGRESS(self._progress),
                                  cancelled=c.CANCELLED(self._cancelled))

    def _log(self, _user: Any, level: int, line: bytes) -> None:
        try:
            message = line.decode(errors="replace")
            if level == 0:
                self.errors.append(message)
            logger.log(_LEVELS[min(level, 3)], "%s", message)
        except BaseException as e:  # noqa: B902
            self.failure = self.failure or e

    def _progress(self, _user: Any, info: Any) -> None:
        try:
            p = info.contents
            if self.progress and not self.failure:
                self.progress(Progress(p.what.decode(), p.step, p.steps, p.per_step, p.loss, bool(p.percent)))
        except BaseException as e:  # noqa: B902
            self.failure = self.failure or e

    def _cancelled(self, _user: Any) -> bool:
        return self.interrupted or self.failure is not None

    def _interrupt(self, _number: int, _frame: Any) -> None:
        self.interrupted = True

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Python handles a signal between two lines of its own, which in a call are those of callbacks: there an
        exception would be lost, so Ctrl-C is remembered instead. A handler of the caller's own is left in place."""
        ours = (threading.current_thread() is threading.main_thread()
                and signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        if ours:
            signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def call(self, function: Any, *arguments: Any) -> None:
        """function(*arguments, &err), and what came of it."""
        err = c.Err()
        self.failure, self.interrupted, self.errors = None, False, []
        with self._signals():
            status = function(*arguments, byref(err))
        message = err.msg.decode(errors="replace")
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        if self.interrupted:
            raise KeyboardInterrupt(*([message] if status else []))
        if status:
            raise error_of(status, "\n".join([message, *self.errors]))


def _text(value: Any) -> str:
    """A value as an experiment has it."""
    if hasattr(value, "tolist"):  # of numpy
        value = value.tolist()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value)


def texts_of(*several: Overrides) -> list[str]:
    """"key.path=value" of each."""
    texts: list[str] = []
    for overrides in several:
        if isinstance(overrides, str):
            raise TypeError(f"overrides are a dict or a list of 'key=value', not the text '{overrides}'")
        if isinstance(overrides, Mapping):
            texts += [f"{k}={_text(v)}" for k, v in overrides.items()]
        elif overrides is not None:
            texts += list(overrides)
    return texts


def overrides_of(*several: Overrides, name: str = "overrides") -> tuple[Any, int]:
    """The same as an array of C, and how many. name: of the argument."""
    texts = [text(f"one of {name}", t) for t in texts_of(*several)]
    if not texts:
        return POINTER(c_char_p)(), 0
    return (c_char_p * len(texts))(*texts), len(texts)
