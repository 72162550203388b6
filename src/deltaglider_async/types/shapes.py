"""What responses are made of.

Written by tools/s3_types.py; change that.
"""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired, TypedDict

from deltaglider_async.types import additions, literals

__all__ = [
    "ResponseMetadata",
    "S3Bucket",
    "S3Checksum",
    "S3CommonPrefix",
    "S3CopyObjectResult",
    "S3CopyPartResult",
    "S3DeleteMarkerEntry",
    "S3DeletedObject",
    "S3Error",
    "S3GetObjectAttributesParts",
    "S3Grant",
    "S3Grantee",
    "S3Initiator",
    "S3MultipartUpload",
    "S3Object",
    "S3ObjectLockLegalHold",
    "S3ObjectLockRetention",
    "S3ObjectPart",
    "S3ObjectVersion",
    "S3Owner",
    "S3Part",
    "S3RestoreStatus",
    "S3Tag",
]


class ResponseMetadata(TypedDict):
    """How the request went."""

    RequestId: str
    HTTPStatusCode: int
    HTTPHeaders: dict[str, str]
    RetryAttempts: int
    HostId: NotRequired[str]


class S3CopyObjectResult(TypedDict):
    """S3's `CopyObjectResult`."""

    ETag: NotRequired[str]
    LastModified: NotRequired[datetime]
    ChecksumType: NotRequired[literals.ChecksumType]
    ChecksumCRC32: NotRequired[str]
    ChecksumCRC32C: NotRequired[str]
    ChecksumCRC64NVME: NotRequired[str]
    ChecksumSHA1: NotRequired[str]
    ChecksumSHA256: NotRequired[str]


class S3DeletedObject(TypedDict):
    """S3's `DeletedObject`."""

    Key: NotRequired[str]
    VersionId: NotRequired[str]
    DeleteMarker: NotRequired[bool]
    DeleteMarkerVersionId: NotRequired[str]
    StoredKey: NotRequired[str]
    Type: NotRequired[additions.StoredType]
    Warnings: NotRequired[list[str]]


class S3Error(TypedDict):
    """S3's `Error`."""

    Key: NotRequired[str]
    VersionId: NotRequired[str]
    Code: NotRequired[str]
    Message: NotRequired[str]


class S3Owner(TypedDict):
    """S3's `Owner`."""

    DisplayName: NotRequired[str]
    ID: NotRequired[str]


class S3Grantee(TypedDict):
    """S3's `Grantee`."""

    DisplayName: NotRequired[str]
    EmailAddress: NotRequired[str]
    ID: NotRequired[str]
    Type: literals.Type
    URI: NotRequired[str]


class S3Grant(TypedDict):
    """S3's `Grant`."""

    Grantee: NotRequired[S3Grantee]
    Permission: NotRequired[literals.Permission]


class S3Checksum(TypedDict):
    """S3's `Checksum`."""

    ChecksumCRC32: NotRequired[str]
    ChecksumCRC32C: NotRequired[str]
    ChecksumCRC64NVME: NotRequired[str]
    ChecksumSHA1: NotRequired[str]
    ChecksumSHA256: NotRequired[str]
    ChecksumType: NotRequired[literals.ChecksumType]


class S3ObjectPart(TypedDict):
    """S3's `ObjectPart`."""

    PartNumber: NotRequired[int]
    Size: NotRequired[int]
    ChecksumCRC32: NotRequired[str]
    ChecksumCRC32C: NotRequired[str]
    ChecksumCRC64NVME: NotRequired[str]
    ChecksumSHA1: NotRequired[str]
    ChecksumSHA256: NotRequired[str]


class S3GetObjectAttributesParts(TypedDict):
    """S3's `GetObjectAttributesParts`."""

    TotalPartsCount: NotRequired[int]
    PartNumberMarker: NotRequired[int]
    NextPartNumberMarker: NotRequired[int]
    MaxParts: NotRequired[int]
    IsTruncated: NotRequired[bool]
    Parts: NotRequired[list[S3ObjectPart]]


class S3ObjectLockLegalHold(TypedDict):
    """S3's `ObjectLockLegalHold`."""

    Status: NotRequired[literals.ObjectLockLegalHoldStatus]


class S3ObjectLockRetention(TypedDict):
    """S3's `ObjectLockRetention`."""

    Mode: NotRequired[literals.ObjectLockRetentionMode]
    RetainUntilDate: NotRequired[datetime]


class S3Tag(TypedDict):
    """S3's `Tag`."""

    Key: str
    Value: str


class S3Bucket(TypedDict):
    """S3's `Bucket`."""

    Name: NotRequired[str]
    CreationDate: NotRequired[datetime]
    BucketRegion: NotRequired[str]
    BucketArn: NotRequired[str]
    DeltaGliderStats: NotRequired[additions.KnownStats]


class S3Initiator(TypedDict):
    """S3's `Initiator`."""

    ID: NotRequired[str]
    DisplayName: NotRequired[str]


class S3MultipartUpload(TypedDict):
    """S3's `MultipartUpload`."""

    UploadId: NotRequired[str]
    Key: NotRequired[str]
    Initiated: NotRequired[datetime]
    StorageClass: NotRequired[literals.StorageClass]
    Owner: NotRequired[S3Owner]
    Initiator: NotRequired[S3Initiator]
    ChecksumAlgorithm: NotRequired[literals.ChecksumAlgorithm]
    ChecksumType: NotRequired[literals.ChecksumType]


class S3CommonPrefix(TypedDict):
    """S3's `CommonPrefix`."""

    Prefix: NotRequired[str]


class S3RestoreStatus(TypedDict):
    """S3's `RestoreStatus`."""

    IsRestoreInProgress: NotRequired[bool]
    RestoreExpiryDate: NotRequired[datetime]


class S3Object(TypedDict):
    """S3's `Object`."""

    Key: NotRequired[str]
    LastModified: NotRequired[datetime]
    ETag: NotRequired[str]
    ChecksumAlgorithm: NotRequired[list[literals.ChecksumAlgorithm]]
    ChecksumType: NotRequired[literals.ChecksumType]
    Size: NotRequired[int]
    StorageClass: NotRequired[literals.ObjectStorageClass]
    Owner: NotRequired[S3Owner]
    RestoreStatus: NotRequired[S3RestoreStatus]
    Metadata: NotRequired[additions.ListedMetadata]


class S3ObjectVersion(TypedDict):
    """S3's `ObjectVersion`."""

    ETag: NotRequired[str]
    ChecksumAlgorithm: NotRequired[list[literals.ChecksumAlgorithm]]
    ChecksumType: NotRequired[literals.ChecksumType]
    Size: NotRequired[int]
    StorageClass: NotRequired[literals.ObjectVersionStorageClass]
    Key: NotRequired[str]
    VersionId: NotRequired[str]
    IsLatest: NotRequired[bool]
    LastModified: NotRequired[datetime]
    Owner: NotRequired[S3Owner]
    RestoreStatus: NotRequired[S3RestoreStatus]


class S3DeleteMarkerEntry(TypedDict):
    """S3's `DeleteMarkerEntry`."""

    Owner: NotRequired[S3Owner]
    Key: NotRequired[str]
    VersionId: NotRequired[str]
    IsLatest: NotRequired[bool]
    LastModified: NotRequired[datetime]


class S3Part(TypedDict):
    """S3's `Part`."""

    PartNumber: NotRequired[int]
    LastModified: NotRequired[datetime]
    ETag: NotRequired[str]
    Size: NotRequired[int]
    ChecksumCRC32: NotRequired[str]
    ChecksumCRC32C: NotRequired[str]
    ChecksumCRC64NVME: NotRequired[str]
    ChecksumSHA1: NotRequired[str]
    ChecksumSHA256: NotRequired[str]


class S3CopyPartResult(TypedDict):
    """S3's `CopyPartResult`."""

    ETag: NotRequired[str]
    LastModified: NotRequired[datetime]
    ChecksumCRC32: NotRequired[str]
    ChecksumCRC32C: NotRequired[str]
    ChecksumCRC64NVME: NotRequired[str]
    ChecksumSHA1: NotRequired[str]
    ChecksumSHA256: NotRequired[str]
