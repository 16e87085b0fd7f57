"""What goes wrong, with the library's message."""
from __future__ import annotations


class Error(Exception):
    """A call of the library failed; str() is its message."""

    status = 0


class InvalidArgument(Error, ValueError):
    """A wrong value in an experiment or an argument."""

    status = -1


class NotFound(Error):
    """A file, plugin or run that does not exist."""

    status = -2


class IOFailure(Error):
    """A file could not be read or written."""

    status = -3


class OutOfMemory(Error):
    """The host's or the device's memory is exhausted."""

    status = -4


class NoSpace(Error):
    """The disk is full."""

    status = -5


class DeviceError(Error):
    """A call of the device or its driver failed."""

    status = -6


class Corrupt(Error):
    """A file is not what it claims to be."""

    status = -7


class Diverged(Error):
    """A loss, a weight or an image is not finite."""

    status = -8


class PluginRefused(Error):
    """A plugin does not fit this library."""

    status = -9


class Cancelled(Error):
    """Stopped on request."""

    status = -10


_BY_STATUS = {c.status: c for c in (InvalidArgument, NotFound, IOFailure, OutOfMemory, NoSpace, DeviceError, Corrupt,
                                    Diverged, PluginRefused, Cancelled)}


def error_of(status: int, message: str) -> Error:
    return _BY_STATUS.get(status, Error)(message or f"status {status}")
