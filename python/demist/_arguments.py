"""Python's values as the library's: ctypes cuts off an integer that is too large and a text at its first NUL."""
from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ._errors import InvalidArgument

INT32 = 2**31 - 1
INT64 = 2**63 - 1


def integer(name: str, value: Any, low: int = 0, high: int = INT64) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be an integer") from None
    if not low <= number <= high:
        raise InvalidArgument(f"{name} is {number}; it must be from {low} to {high}")
    return number


def labels_of(labels: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Which of them the model has, the library says."""
    array = np.asarray(labels)
    if array.dtype.kind not in "biu" or array.size and not -INT32 - 1 <= int(array.min()) <= int(array.max()) <= INT32:
        for at, value in np.ndenumerate(array.astype(object)):
            integer(f"labels{list(at) or ''}", value, -INT32 - 1, INT32)
    return array.astype(np.int32)


def text(name: str, value: Any, *, path: bool = False) -> bytes:
    """UTF-8, or a path as the system has it."""
    try:
        if not path and not isinstance(value, str):
            raise TypeError
        encoded = os.fsencode(value) if path else value.encode(errors="surrogateescape")
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be a {'path' if path else 'text'}") from None
    except UnicodeEncodeError:
        raise InvalidArgument(f"{name} is {value!r}; it must be Unicode without surrogates") from None
    if b"\0" in encoded:
        raise InvalidArgument(f"{name} is {value!r}; it must not contain a NUL character")
    return encoded
