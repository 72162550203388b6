"""What callers get back, typed.

Two directions of "ratio", kept from the original: `delta_ratio` and a put's `CompressionRatio` are stored
divided by original (small is good); `average_compression_ratio` and the listing's
`deltaglider-compression-ratio` are the share saved (0.99 is good).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Operation = Literal["create_reference", "create_delta", "upload_direct", "copy_plain", "copy_delta", "copy_reference"]
"""`copy_plain` was done by the service; `copy_delta` moved a delta's bytes, `copy_reference` its reference's too."""
StatsMode = Literal["quick", "sampled", "detailed"]
Severity = Literal["error", "waste", "note"]
FindingKind = Literal[
    # errors
    "missing-reference",
    "reference-in-trash",
    "different-reference",
    "damaged-metadata",
    "damaged-data",
    "damaged-reference",
    "archived-reference",
    "reference-expires-first",
    # waste
    "leftover-delta",
    "unused-reference",
    "old-trash",
    "expired-temporary",
    "old-probe",
    "unfinished-upload",
    # notes
    "recent-trash",
    "recent-upload",
    "open-upload",
    "reference-elsewhere",
    "foreign-delta",
    "foreign-reference",
    "foreign-object",
    "unchecked",
]
Phase = Literal["reading reference", "encoding", "sending", "receiving", "decoding"]

#: Called with what is happening and how many bytes of the original are done (absolute; it goes back
#: when a refused delta is followed by a plain upload). Called on the event loop: be quick.
Progress = Callable[[Phase, int], None]


@dataclass(frozen=True, slots=True)
class UploadSummary:
    """What became of an uploaded file. Sizes in bytes."""

    operation: Operation
    bucket: str
    key: str
    original_size: int
    stored_size: int
    is_delta: bool
    delta_ratio: float
    """Delta size divided by original size, also when the delta was refused; 0.0 where none was tried."""
    reason: str = ""
    """Why the object is stored plain, empty for a delta."""

    @property
    def original_size_mb(self) -> float:
        """Original size in MiB."""
        return self.original_size / 1024**2

    @property
    def stored_size_mb(self) -> float:
        """Stored size in MiB."""
        return self.stored_size / 1024**2

    @property
    def savings_percent(self) -> float:
        """Share of the original size that is not stored, in per cent."""
        return 100 * (1 - self.stored_size / self.original_size) if self.original_size else 0.0


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Whether a stored object still has the SHA-256 recorded at its put. True or false in a condition."""

    valid: bool
    expected_sha256: str
    """Hex; empty where none was recorded."""
    actual_sha256: str
    message: str
    size: int = 0
    """Bytes of the original that could be read."""

    def __bool__(self) -> bool:
        return self.valid


@dataclass(frozen=True, slots=True)
class BucketStats:
    """Sizes in bytes. References that deltas use count into `compressed_size`, never into `object_count`."""

    bucket: str
    object_count: int
    total_size: int
    """Sum of the originals' sizes, as far as known (see `get_bucket_stats`)."""
    compressed_size: int
    """Sum of what is stored."""
    space_saved: int
    """Never negative."""
    average_compression_ratio: float
    """Share saved, 0.0 to 1.0."""
    delta_objects: int
    direct_objects: int
    object_limit_reached: bool = False
    orphaned_references: int = 0
    """References that no delta uses; not counted in any size."""
    orphaned_size: int = 0
    warnings: tuple[str, ...] = field(default=())
    deltaspaces: tuple[DeltaspaceStats, ...] = ()
    """Each folder that has objects of its own, in the order of their names, where that was asked for."""


@dataclass(frozen=True, slots=True)
class DeltaspaceStats:
    """What is in one folder, without the folders in it. Sizes in bytes."""

    bucket: str
    prefix: str
    """Of the keys in it, with the `/` at its end; empty for the bucket's root."""
    object_count: int
    original_size: int
    """Sum of the originals' sizes, as far as known (see `get_bucket_stats`)."""
    stored_size: int
    """Sum of what is stored for them, with the references where deltas use them."""
    delta_objects: int
    delta_size: int
    """What is stored for the deltas alone."""
    references: int
    reference_size: int
    """References that are there, used or not."""

    @property
    def ratio(self) -> float:
        """Stored size divided by original size: small is good; 1.0 for nothing."""
        return self.stored_size / self.original_size if self.original_size else 1.0

    @property
    def space_saved(self) -> int:
        """Never negative."""
        return max(0, self.original_size - self.stored_size)

    @property
    def orphaned(self) -> bool:
        """Whether there are references, and no delta that uses them."""
        return self.references > 0 and not self.delta_objects


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of one object. Sizes in bytes."""

    key: str
    size: int
    """Of the original, as `original_size`."""
    last_modified: datetime
    etag: str
    """Of the stored object, without quotes."""
    storage_class: str
    original_size: int
    compressed_size: int
    """What is stored under its key; a reference serves its whole folder and is not counted."""
    compression_ratio: float
    """Share saved, 0.0 to 1.0."""
    is_delta: bool
    reference_key: str | None
    delta_chain_length: int
    """How many deltas have to be decoded: 0 or 1."""


@dataclass(frozen=True, slots=True)
class CompressionEstimate:
    """What a put of a file would come to. Sizes in bytes."""

    original_size: int
    estimated_compressed_size: int
    estimated_ratio: float
    """Share saved, 0.0 to 1.0."""
    confidence: float
    """0.0 (nothing is known) to 1.0."""
    recommended_reference: str | None
    """Key of the reference that was compared with."""
    should_use_delta: bool
    """Whether a put would most likely store a delta."""

    @property
    def delta_ratio(self) -> float:
        """Stored size divided by original size: small is good."""
        return 1.0 - self.estimated_ratio

    @property
    def savings_percent(self) -> float:
        """Share saved, in per cent."""
        return 100 * self.estimated_ratio


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `fsck` or `gc` found in a bucket. Size in bytes."""

    kind: FindingKind
    severity: Severity
    """`error`: objects cannot be read, or will not be. `waste`: can be removed. `note`: neither."""
    bucket: str
    key: str
    """Of the stored object that it is about, or of the place where one is missing; empty for the whole bucket."""
    detail: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""
    size: int = 0
    """What removing the object gives back; 0 for what is no waste."""
    affected: tuple[str, ...] = ()
    """Logical keys of objects that suffer from it, in order, 100 at most."""
    affected_count: int = 0
    """How many there are of them."""
    repaired: bool = False
    """Mended, or removed, by this call."""
