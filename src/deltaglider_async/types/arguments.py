"""What the client's methods in boto3's names take, beside what they name themselves.

Written by tools/s3_types.py; change that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NotRequired, Required, TypedDict

from deltaglider_async.types import literals, shapes

__all__ = [
    "AbortMultipartUploadArguments",
    "CompleteMultipartUploadArguments",
    "CopyObjectArguments",
    "CreateBucketArguments",
    "CreateMultipartUploadArguments",
    "DeleteBucketArguments",
    "DeleteObjectArguments",
    "DeleteObjectTaggingArguments",
    "DeleteObjectsArguments",
    "GetBucketAclArguments",
    "GetObjectAclArguments",
    "GetObjectArguments",
    "GetObjectAttributesArguments",
    "GetObjectLegalHoldArguments",
    "GetObjectRetentionArguments",
    "GetObjectTaggingArguments",
    "HeadBucketArguments",
    "HeadObjectArguments",
    "ListBucketsArguments",
    "ListMultipartUploadsArguments",
    "ListObjectVersionsArguments",
    "ListObjectsArguments",
    "ListObjectsV2Arguments",
    "ListPartsArguments",
    "PutBucketAclArguments",
    "PutObjectAclArguments",
    "PutObjectArguments",
    "PutObjectLegalHoldArguments",
    "PutObjectRetentionArguments",
    "PutObjectTaggingArguments",
    "RestoreObjectArguments",
    "S3AccessControlPolicyArgument",
    "S3BucketInfoArgument",
    "S3CompletedMultipartUploadArgument",
    "S3CompletedPartArgument",
    "S3CreateBucketConfigurationArgument",
    "S3GrantArgument",
    "S3GranteeArgument",
    "S3LocationInfoArgument",
    "S3ObjectLockLegalHoldArgument",
    "S3ObjectLockRetentionArgument",
    "S3OwnerArgument",
    "S3TagArgument",
    "S3TaggingArgument",
    "UploadPartArguments",
    "UploadPartCopyArguments",
]


class S3CompletedPartArgument(TypedDict):
    """S3's `CompletedPart`, as it may be given."""

    ETag: NotRequired[str]
    ChecksumCRC32: NotRequired[str]
    ChecksumCRC32C: NotRequired[str]
    ChecksumCRC64NVME: NotRequired[str]
    ChecksumSHA1: NotRequired[str]
    ChecksumSHA256: NotRequired[str]
    PartNumber: NotRequired[int]


class S3CompletedMultipartUploadArgument(TypedDict):
    """S3's `CompletedMultipartUpload`, as it may be given."""

    Parts: NotRequired[Sequence[S3CompletedPartArgument]]


class S3LocationInfoArgument(TypedDict):
    """S3's `LocationInfo`, as it may be given."""

    Type: NotRequired[literals.LocationType]
    Name: NotRequired[str]


class S3BucketInfoArgument(TypedDict):
    """S3's `BucketInfo`, as it may be given."""

    DataRedundancy: NotRequired[literals.DataRedundancy]
    Type: NotRequired[literals.BucketType]


class S3TagArgument(TypedDict):
    """S3's `Tag`, as it may be given."""

    Key: str
    Value: str


class S3CreateBucketConfigurationArgument(TypedDict):
    """S3's `CreateBucketConfiguration`, as it may be given."""

    LocationConstraint: NotRequired[literals.BucketLocationConstraint]
    Location: NotRequired[S3LocationInfoArgument]
    Bucket: NotRequired[S3BucketInfoArgument]
    Tags: NotRequired[Sequence[S3TagArgument]]


class S3GranteeArgument(TypedDict):
    """S3's `Grantee`, as it may be given."""

    DisplayName: NotRequired[str]
    EmailAddress: NotRequired[str]
    ID: NotRequired[str]
    Type: literals.Type
    URI: NotRequired[str]


class S3GrantArgument(TypedDict):
    """S3's `Grant`, as it may be given."""

    Grantee: NotRequired[S3GranteeArgument]
    Permission: NotRequired[literals.Permission]


class S3OwnerArgument(TypedDict):
    """S3's `Owner`, as it may be given."""

    DisplayName: NotRequired[str]
    ID: NotRequired[str]


class S3AccessControlPolicyArgument(TypedDict):
    """S3's `AccessControlPolicy`, as it may be given."""

    Grants: NotRequired[Sequence[S3GrantArgument]]
    Owner: NotRequired[S3OwnerArgument]


class S3ObjectLockLegalHoldArgument(TypedDict):
    """S3's `ObjectLockLegalHold`, as it may be given."""

    Status: NotRequired[literals.ObjectLockLegalHoldStatus]


class S3ObjectLockRetentionArgument(TypedDict):
    """S3's `ObjectLockRetention`, as it may be given."""

    Mode: NotRequired[literals.ObjectLockRetentionMode]
    RetainUntilDate: NotRequired[datetime | str]


class S3TaggingArgument(TypedDict):
    """S3's `Tagging`, as it may be given."""

    TagSet: Sequence[S3TagArgument]


class AbortMultipartUploadArguments(TypedDict, total=False):
    """Of `abort_multipart_upload`."""

    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str
    IfMatchInitiatedTime: datetime | str


class CompleteMultipartUploadArguments(TypedDict, total=False):
    """Of `complete_multipart_upload`."""

    MultipartUpload: S3CompletedMultipartUploadArgument
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    ChecksumType: literals.ChecksumType
    MpuObjectSize: int
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str
    IfMatch: str
    IfNoneMatch: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str


class CopyObjectArguments(TypedDict, total=False):
    """Of `copy_object`."""

    ACL: literals.ObjectCannedACL
    CacheControl: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ContentDisposition: str
    ContentEncoding: str
    ContentLanguage: str
    ContentType: str
    CopySourceIfMatch: str
    CopySourceIfModifiedSince: datetime | str
    CopySourceIfNoneMatch: str
    CopySourceIfUnmodifiedSince: datetime | str
    Expires: datetime | str
    GrantFullControl: str
    GrantRead: str
    GrantReadACP: str
    GrantWriteACP: str
    IfMatch: str
    IfNoneMatch: str
    MetadataDirective: literals.MetadataDirective
    TaggingDirective: literals.TaggingDirective
    ServerSideEncryption: literals.ServerSideEncryption
    StorageClass: literals.StorageClass
    WebsiteRedirectLocation: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    SSEKMSEncryptionContext: str
    BucketKeyEnabled: bool
    CopySourceSSECustomerAlgorithm: str
    CopySourceSSECustomerKey: str | bytes
    CopySourceSSECustomerKeyMD5: str
    RequestPayer: literals.RequestPayer
    Tagging: str
    ObjectLockMode: literals.ObjectLockMode
    ObjectLockRetainUntilDate: datetime | str
    ObjectLockLegalHoldStatus: literals.ObjectLockLegalHoldStatus
    ExpectedBucketOwner: str
    ExpectedSourceBucketOwner: str


class CreateBucketArguments(TypedDict, total=False):
    """Of `create_bucket`."""

    ACL: literals.BucketCannedACL
    CreateBucketConfiguration: S3CreateBucketConfigurationArgument
    GrantFullControl: str
    GrantRead: str
    GrantReadACP: str
    GrantWrite: str
    GrantWriteACP: str
    ObjectLockEnabledForBucket: bool
    ObjectOwnership: literals.ObjectOwnership


class CreateMultipartUploadArguments(TypedDict, total=False):
    """Of `create_multipart_upload`."""

    ACL: literals.ObjectCannedACL
    CacheControl: str
    ContentDisposition: str
    ContentEncoding: str
    ContentLanguage: str
    ContentType: str
    Expires: datetime | str
    GrantFullControl: str
    GrantRead: str
    GrantReadACP: str
    GrantWriteACP: str
    ServerSideEncryption: literals.ServerSideEncryption
    StorageClass: literals.StorageClass
    WebsiteRedirectLocation: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    SSEKMSEncryptionContext: str
    BucketKeyEnabled: bool
    RequestPayer: literals.RequestPayer
    Tagging: str
    ObjectLockMode: literals.ObjectLockMode
    ObjectLockRetainUntilDate: datetime | str
    ObjectLockLegalHoldStatus: literals.ObjectLockLegalHoldStatus
    ExpectedBucketOwner: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ChecksumType: literals.ChecksumType


class DeleteBucketArguments(TypedDict, total=False):
    """Of `delete_bucket`."""

    ExpectedBucketOwner: str


class DeleteObjectArguments(TypedDict, total=False):
    """Of `delete_object`."""

    MFA: str
    VersionId: str
    RequestPayer: literals.RequestPayer
    BypassGovernanceRetention: bool
    ExpectedBucketOwner: str
    IfMatch: str
    IfMatchLastModifiedTime: datetime | str
    IfMatchSize: int


class DeleteObjectsArguments(TypedDict, total=False):
    """Of `delete_objects`."""

    MFA: str
    RequestPayer: literals.RequestPayer
    BypassGovernanceRetention: bool
    ExpectedBucketOwner: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm


class DeleteObjectTaggingArguments(TypedDict, total=False):
    """Of `delete_object_tagging`."""

    VersionId: str
    ExpectedBucketOwner: str


class GetBucketAclArguments(TypedDict, total=False):
    """Of `get_bucket_acl`."""

    ExpectedBucketOwner: str


class GetObjectArguments(TypedDict, total=False):
    """Of `get_object`."""

    IfMatch: str
    IfModifiedSince: datetime | str
    IfNoneMatch: str
    IfUnmodifiedSince: datetime | str
    Range: str
    ResponseCacheControl: str
    ResponseContentDisposition: str
    ResponseContentEncoding: str
    ResponseContentLanguage: str
    ResponseContentType: str
    ResponseExpires: datetime | str
    VersionId: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    RequestPayer: literals.RequestPayer
    PartNumber: int
    ExpectedBucketOwner: str
    ChecksumMode: literals.ChecksumMode


class GetObjectAclArguments(TypedDict, total=False):
    """Of `get_object_acl`."""

    VersionId: str
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str


class GetObjectAttributesArguments(TypedDict, total=False):
    """Of `get_object_attributes`."""

    VersionId: str
    MaxParts: int
    PartNumberMarker: int
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str


class GetObjectLegalHoldArguments(TypedDict, total=False):
    """Of `get_object_legal_hold`."""

    VersionId: str
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str


class GetObjectRetentionArguments(TypedDict, total=False):
    """Of `get_object_retention`."""

    VersionId: str
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str


class GetObjectTaggingArguments(TypedDict, total=False):
    """Of `get_object_tagging`."""

    VersionId: str
    ExpectedBucketOwner: str
    RequestPayer: literals.RequestPayer


class HeadBucketArguments(TypedDict, total=False):
    """Of `head_bucket`."""

    ExpectedBucketOwner: str


class HeadObjectArguments(TypedDict, total=False):
    """Of `head_object`."""

    IfMatch: str
    IfModifiedSince: datetime | str
    IfNoneMatch: str
    IfUnmodifiedSince: datetime | str
    Range: str
    ResponseCacheControl: str
    ResponseContentDisposition: str
    ResponseContentEncoding: str
    ResponseContentLanguage: str
    ResponseContentType: str
    ResponseExpires: datetime | str
    VersionId: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    RequestPayer: literals.RequestPayer
    PartNumber: int
    ExpectedBucketOwner: str
    ChecksumMode: literals.ChecksumMode


class ListBucketsArguments(TypedDict, total=False):
    """Of `list_buckets`."""

    MaxBuckets: int
    ContinuationToken: str
    Prefix: str
    BucketRegion: str


class ListMultipartUploadsArguments(TypedDict, total=False):
    """Of `list_multipart_uploads`."""

    ExpectedBucketOwner: str
    RequestPayer: literals.RequestPayer


class ListObjectsArguments(TypedDict, total=False):
    """Of `list_objects`."""

    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str
    OptionalObjectAttributes: Sequence[literals.OptionalObjectAttributes]


class ListObjectsV2Arguments(TypedDict, total=False):
    """Of `list_objects_v2`."""

    FetchOwner: bool
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str
    OptionalObjectAttributes: Sequence[literals.OptionalObjectAttributes]


class ListObjectVersionsArguments(TypedDict, total=False):
    """Of `list_object_versions`."""

    ExpectedBucketOwner: str
    RequestPayer: literals.RequestPayer
    OptionalObjectAttributes: Sequence[literals.OptionalObjectAttributes]


class ListPartsArguments(TypedDict, total=False):
    """Of `list_parts`."""

    MaxParts: int
    PartNumberMarker: int
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str


class PutBucketAclArguments(TypedDict, total=False):
    """Of `put_bucket_acl`."""

    ACL: literals.BucketCannedACL
    AccessControlPolicy: S3AccessControlPolicyArgument
    ContentMD5: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    GrantFullControl: str
    GrantRead: str
    GrantReadACP: str
    GrantWrite: str
    GrantWriteACP: str
    ExpectedBucketOwner: str


class PutObjectArguments(TypedDict, total=False):
    """Of `put_object`."""

    ACL: literals.ObjectCannedACL
    CacheControl: str
    ContentDisposition: str
    ContentEncoding: str
    ContentLanguage: str
    ContentMD5: str
    ContentType: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    Expires: datetime | str
    IfMatch: str
    IfNoneMatch: str
    GrantFullControl: str
    GrantRead: str
    GrantReadACP: str
    GrantWriteACP: str
    WriteOffsetBytes: int
    ServerSideEncryption: literals.ServerSideEncryption
    StorageClass: literals.StorageClass
    WebsiteRedirectLocation: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    SSEKMSEncryptionContext: str
    BucketKeyEnabled: bool
    RequestPayer: literals.RequestPayer
    Tagging: str
    ObjectLockMode: literals.ObjectLockMode
    ObjectLockRetainUntilDate: datetime | str
    ObjectLockLegalHoldStatus: literals.ObjectLockLegalHoldStatus
    ExpectedBucketOwner: str


class PutObjectAclArguments(TypedDict, total=False):
    """Of `put_object_acl`."""

    ACL: literals.ObjectCannedACL
    AccessControlPolicy: S3AccessControlPolicyArgument
    ContentMD5: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    GrantFullControl: str
    GrantRead: str
    GrantReadACP: str
    GrantWrite: str
    GrantWriteACP: str
    RequestPayer: literals.RequestPayer
    VersionId: str
    ExpectedBucketOwner: str


class PutObjectLegalHoldArguments(TypedDict, total=False):
    """Of `put_object_legal_hold`."""

    LegalHold: S3ObjectLockLegalHoldArgument
    RequestPayer: literals.RequestPayer
    VersionId: str
    ContentMD5: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ExpectedBucketOwner: str


class PutObjectRetentionArguments(TypedDict, total=False):
    """Of `put_object_retention`."""

    Retention: S3ObjectLockRetentionArgument | shapes.S3ObjectLockRetention
    RequestPayer: literals.RequestPayer
    VersionId: str
    BypassGovernanceRetention: bool
    ContentMD5: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ExpectedBucketOwner: str


class PutObjectTaggingArguments(TypedDict, total=False):
    """Of `put_object_tagging`."""

    VersionId: str
    ContentMD5: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    Tagging: Required[S3TaggingArgument]
    ExpectedBucketOwner: str
    RequestPayer: literals.RequestPayer


class RestoreObjectArguments(TypedDict, total=False):
    """Of `restore_object`."""

    VersionId: str
    RestoreRequest: Mapping[str, Any]
    RequestPayer: literals.RequestPayer
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ExpectedBucketOwner: str


class UploadPartArguments(TypedDict, total=False):
    """Of `upload_part`."""

    ContentMD5: str
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str


class UploadPartCopyArguments(TypedDict, total=False):
    """Of `upload_part_copy`."""

    CopySourceIfMatch: str
    CopySourceIfModifiedSince: datetime | str
    CopySourceIfNoneMatch: str
    CopySourceIfUnmodifiedSince: datetime | str
    CopySourceRange: str
    SSECustomerAlgorithm: str
    SSECustomerKey: str | bytes
    SSECustomerKeyMD5: str
    CopySourceSSECustomerAlgorithm: str
    CopySourceSSECustomerKey: str | bytes
    CopySourceSSECustomerKeyMD5: str
    RequestPayer: literals.RequestPayer
    ExpectedBucketOwner: str
    ExpectedSourceBucketOwner: str
