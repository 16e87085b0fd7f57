"""A handle of the library, whose calls must not overlap."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_void_p
from typing import Any

from ._errors import InvalidArgument


class Handle:
    """Calls from several threads wait for each other, and close() for them. A callback runs in the thread of its call,
    which holds the lock: there the lock lets a second call through, and `busy` stops it."""

    def __init__(self, what: str, close: Any) -> None:
        self.what = what
        self.pointer = c_void_p()
        self._close = close
        self._lock = threading.RLock()
        self._busy = False

    def check_open(self) -> None:
        if not self.pointer:
            raise InvalidArgument(f"the {self.what} is closed")

    @contextmanager
    def reading(self) -> Iterator[c_void_p]:
        """For a call that changes nothing, which callbacks may make."""
        with self._lock:
            self.check_open()
            yield self.pointer

    @contextmanager
    def working(self) -> Iterator[c_void_p]:
        with self._exclusive():
            self.check_open()
            yield self.pointer

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock:
            if self._busy:
                raise InvalidArgument(f"not allowed inside a callback of the same {self.what}")
            try:
                self._busy = True
                yield
            finally:
                self._busy = False

    def close(self) -> None:
        with self._exclusive():
            pointer, self.pointer = self.pointer, c_void_p()
            if pointer:
                self._close(pointer)
