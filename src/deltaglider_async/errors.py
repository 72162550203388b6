"""One exception tree. Catch `DeltaGliderError` for all of it.

Each message says what was attempted, on what, what was found, and what to do. Errors that S3 answers
with are raised by `store/` as classes that are both one of these and botocore's own, so that
``except client.exceptions.NoSuchKey`` and ``except NotFoundError`` catch the same exception.
"""

from __future__ import annotations


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
    """A local file or folder could not be read or written (`errno` says why)."""

    def __str__(self) -> str:
        return str(self.strerror)


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
