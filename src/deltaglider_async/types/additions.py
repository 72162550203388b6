"""What our answers have beside S3's own, and the answers of methods that boto3 has not. Sizes in bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from deltaglider_async.types.results import Operation, StatsMode

StoredAs = Literal["delta", "reference+delta", "plain"]
StoredType = Literal["delta", "direct", "reference", "internal", "not_found"]

#: As `Metadata` of a listed object: they are strings, as metadata are.
ListedMetadata = TypedDict(
    "ListedMetadata",
    {
        "deltaglider-is-delta": Literal["true", "false"],
        "deltaglider-original-size": str,
        "deltaglider-compression-ratio": str,
        "deltaglider-reference-key": str,
    },
    total=False,
)


class PutInfo(TypedDict):
    """What was stored by a put, or a copy. `CompressionRatio` is delta divided by original: small is good."""

    OriginalSize: int
    StoredSize: int
    OriginalSizeMB: float
    StoredSizeMB: float
    IsDelta: bool
    CompressionRatio: float
    SavingsPercent: float
    StoredAs: StoredAs
    Operation: Operation
    ReferenceKey: str | None
    Reason: str | None


class StoredInfo(TypedDict):
    """How an object is stored. `CompressionRatio` is delta divided by original: small is good."""

    OriginalSize: int
    StoredSize: int
    IsDelta: bool
    CompressionRatio: float
    ReferenceKey: str | None


class DeleteInfo(TypedDict):
    """What was deleted."""

    Type: StoredType
    Deleted: bool
    Warnings: list[str]
    DependentDeltas: int


class PresignedPost(TypedDict):
    """Where a form is sent to, and the fields that it must have, beside `file`."""

    url: str
    fields: dict[str, str]


class PurgedFiles(TypedDict):
    """What `purge_temp_files` removed."""

    deleted_count: int
    expired_count: int
    error_count: int
    total_size_freed: int
    duration_seconds: float
    errors: list[str]


class SimilarFile(TypedDict):
    """An object whose name is like a file's. `Similarity` is 0.0 to 1.0."""

    Key: str
    Size: int
    Similarity: float
    LastModified: datetime


class KnownStats(TypedDict):
    """Statistics of a bucket, as far as they are known from an earlier call. `AverageCompressionRatio` is the share
    saved: 0.99 is good."""

    Cached: bool
    Detailed: bool
    Mode: StatsMode
    ObjectCount: int
    TotalSize: int
    CompressedSize: int
    SpaceSaved: int
    AverageCompressionRatio: float
    DeltaObjects: int
    DirectObjects: int


class DeletedDetail(TypedDict):
    """One object that was deleted."""

    Key: str
    StoredKey: str
    Type: StoredType
    DependentDeltas: int
    Warnings: list[str]


class DeletesInfo(TypedDict):
    """What `delete_objects` deleted."""

    DeltaFilesDeleted: int
    ReferencesDeleted: int
    Details: list[DeletedDetail]


class RecursiveDeletesInfo(TypedDict):
    """What `delete_objects_recursive` deleted."""

    DeltasDeleted: int
    ReferencesDeleted: int
    DirectDeleted: int
    OtherDeleted: int
    SingleDeletes: list[DeletedDetail]


class DeleteObjectsRecursiveResponse(TypedDict):
    """What `delete_objects_recursive` returns."""

    DeletedCount: int
    FailedCount: int
    Errors: list[str]
    Warnings: list[str]
    DeltaGliderInfo: RecursiveDeletesInfo
