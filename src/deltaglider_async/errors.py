"""One exception tree. Catch `DeltaGliderError` for all of it.

Each message says what was attempted, on what, what was found, and what to do. Errors that S3 answers
with are raised by `store/` as classes that are both one of these and botocore's own, so that
``except client.exceptions.NoSuchKey`` and ``except NotFoundError`` catch the same exception.
"""

from __future__ import annotations

from typing import Any, Self


class DeltaGliderError(Exception):
    """Anything that goes wrong here; the root of the tree."""


class ConfigurationError(DeltaGliderError, ValueError):
    """A setting has a value that is not accepted; the message names the variable."""


class InvalidRequestError(DeltaGliderError, ValueError):
    """The call itself cannot be carried out as asked; nothing was sent."""


class NotFoundError(DeltaGliderError):
    """A bucket or a key is not there."""


class StorageIOError(DeltaGliderError):
    """S3 refused, could not be reached, or broke off."""


class PreconditionFailedError(StorageIOError):
    """A condition of the call (`IfMatch`, `IfNoneMatch`, ...) does not hold."""


class LocalIOError(DeltaGliderError, OSError):
    """A local file or folder could not be read or written (`errno` says why).

    As with `OSError` itself, one for a missing file is a `FileNotFoundError` too, and so on.
    """

    def __new__(cls, *arguments: Any) -> Self:
        error: Self = super().__new__(_of_kind(cls, type(OSError(*arguments[:2]))), *arguments)
        return error

    def __str__(self) -> str:
        return str(self.strerror)


_KINDS: dict[tuple[type, type], type] = {}


def _of_kind(ours: type, kind: type) -> Any:
    """A class that is both, always the same for the same pair."""
    if issubclass(ours, kind):
        return ours
    if (ours, kind) not in _KINDS:
        _KINDS[ours, kind] = type(ours.__name__, (ours, kind), {"__module__": ours.__module__, "__doc__": ours.__doc__})
    return _KINDS[ours, kind]


class SourceChangedError(DeltaGliderError):
    """A file or stream was not the same when it was read again, or shorter or longer than announced."""


class IntegrityMismatchError(DeltaGliderError):
    """Bytes do not have the SHA-256 recorded for them. They were not delivered as complete."""


class DiffEncodeError(DeltaGliderError):
    """xdelta3 could not make a delta, or the delta did not decode to its input."""


class DiffDecodeError(DeltaGliderError):
    """A stored delta could not be decoded."""


class CodecUnavailableError(DiffEncodeError, DiffDecodeError):
    """xdelta3 is not installed, or cannot be started."""


class CacheMissError(DeltaGliderError):
    """A reference was expected in the cache and is not there."""


class CacheCorruptionError(DeltaGliderError):
    """A cached reference is damaged. The entry is removed before this is raised."""


class ReferenceCreationRaceError(DeltaGliderError):
    """The reference of a deltaspace kept changing under a put, which gave up."""


class PolicyViolationWarning(UserWarning):
    """A stored delta is larger than `max_ratio` allows. Known from the original; ours stores plain instead."""
