"""S3 storage of versioned artifacts as small deltas, exactly restored. See `create_client`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deltaglider_async._version import __version__

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient
    from deltaglider_async.errors import (
        CacheCorruptionError,
        CacheMissError,
        CodecUnavailableError,
        ConfigurationError,
        DeltaGliderError,
        DiffDecodeError,
        DiffEncodeError,
        IntegrityMismatchError,
        InvalidRequestError,
        LocalIOError,
        NotFoundError,
        PolicyViolationWarning,
        PreconditionFailedError,
        ReferenceCreationRaceError,
        SourceChangedError,
        StorageIOError,
    )
    from deltaglider_async.session import create_client
    from deltaglider_async.settings import Settings
    from deltaglider_async.types import BucketStats, Finding, UploadSummary, VerifyResult

_HOME = {
    "DeltaGliderClient": "client",
    "create_client": "session",
    "Settings": "settings",
    "BucketStats": "types",
    "Finding": "types",
    "UploadSummary": "types",
    "VerifyResult": "types",
}

__all__ = [
    "BucketStats",
    "CacheCorruptionError",
    "CacheMissError",
    "CodecUnavailableError",
    "ConfigurationError",
    "DeltaGliderClient",
    "DeltaGliderError",
    "DiffDecodeError",
    "DiffEncodeError",
    "Finding",
    "IntegrityMismatchError",
    "InvalidRequestError",
    "LocalIOError",
    "NotFoundError",
    "PolicyViolationWarning",
    "PreconditionFailedError",
    "ReferenceCreationRaceError",
    "Settings",
    "SourceChangedError",
    "StorageIOError",
    "UploadSummary",
    "VerifyResult",
    "__version__",
    "create_client",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `dg --version` shall not wait for aioboto3."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
