"""What the client's methods in boto3's names return.

Written by tools/s3_types.py; change that.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NotRequired, TypedDict

from deltaglider_async.types import additions, literals, shapes

if TYPE_CHECKING:
    from deltaglider_async.streams.body import ObjectBody

__all__ = [
    "AbortMultipartUploadResponse",
    "CompleteMultipartUploadResponse",
    "CopyObjectResponse",
    "CreateBucketResponse",
    "CreateMultipartUploadResponse",
    "DeleteBucketResponse",
    "DeleteObjectResponse",
    "DeleteObjectTaggingResponse",
    "DeleteObjectsResponse",
    "GetBucketAclResponse",
    "GetObjectAclResponse",
    "GetObjectAttributesResponse",
    "GetObjectLegalHoldResponse",
    "GetObjectResponse",
    "GetObjectRetentionResponse",
    "GetObjectTaggingResponse",
    "HeadBucketResponse",
    "HeadObjectResponse",
    "ListBucketsResponse",
    "ListMultipartUploadsResponse",
    "ListObjectVersionsResponse",
    "ListObjectsResponse",
    "ListObjectsV2Response",
    "ListPartsResponse",
    "PutBucketAclResponse",
    "PutObjectAclResponse",
    "PutObjectLegalHoldResponse",
    "PutObjectResponse",
    "PutObjectRetentionResponse",
    "PutObjectTaggingResponse",
    "RestoreObjectResponse",
    "UploadPartCopyResponse",
    "UploadPartResponse",
]


class AbortMultipartUploadResponse(TypedDict):
    """What `abort_multipart_upload` returns."""

    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class CompleteMultipartUploadResponse(TypedDict):
    """What `complete_multipart_upload` returns."""

    Location: str
    Bucket: str
    Key: str
    Expiration: str
    ETag: str
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    ChecksumType: literals.ChecksumType
    ServerSideEncryption: literals.ServerSideEncryption
    VersionId: str
    SSEKMSKeyId: str
    BucketKeyEnabled: bool
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: NotRequired[additions.PutInfo]


class CopyObjectResponse(TypedDict):
    """What `copy_object` returns."""

    CopyObjectResult: shapes.S3CopyObjectResult
    Expiration: str
    CopySourceVersionId: str
    VersionId: str
    ServerSideEncryption: literals.ServerSideEncryption
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    SSEKMSEncryptionContext: str
    BucketKeyEnabled: bool
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.PutInfo


class CreateBucketResponse(TypedDict):
    """What `create_bucket` returns."""

    Location: str
    BucketArn: str
    ResponseMetadata: shapes.ResponseMetadata


class CreateMultipartUploadResponse(TypedDict):
    """What `create_multipart_upload` returns."""

    AbortDate: datetime
    AbortRuleId: str
    Bucket: str
    Key: str
    UploadId: str
    ServerSideEncryption: literals.ServerSideEncryption
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    SSEKMSEncryptionContext: str
    BucketKeyEnabled: bool
    RequestCharged: literals.RequestCharged
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ChecksumType: literals.ChecksumType
    ResponseMetadata: shapes.ResponseMetadata


class DeleteBucketResponse(TypedDict):
    """What `delete_bucket` returns."""

    ResponseMetadata: shapes.ResponseMetadata


class DeleteObjectResponse(TypedDict):
    """What `delete_object` returns."""

    DeleteMarker: bool
    VersionId: str
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.DeleteInfo


class DeleteObjectsResponse(TypedDict):
    """What `delete_objects` returns."""

    Deleted: list[shapes.S3DeletedObject]
    RequestCharged: literals.RequestCharged
    Errors: list[shapes.S3Error]
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.DeletesInfo


class DeleteObjectTaggingResponse(TypedDict):
    """What `delete_object_tagging` returns."""

    VersionId: str
    ResponseMetadata: shapes.ResponseMetadata


class GetBucketAclResponse(TypedDict):
    """What `get_bucket_acl` returns."""

    Owner: shapes.S3Owner
    Grants: list[shapes.S3Grant]
    ResponseMetadata: shapes.ResponseMetadata


class GetObjectResponse(TypedDict):
    """What `get_object` returns."""

    Body: ObjectBody
    DeleteMarker: bool
    AcceptRanges: str
    Expiration: str
    Restore: str
    LastModified: datetime
    ContentLength: int
    ETag: str
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    ChecksumType: literals.ChecksumType
    MissingMeta: int
    VersionId: str
    CacheControl: str
    ContentDisposition: str
    ContentEncoding: str
    ContentLanguage: str
    ContentRange: NotRequired[str]
    ContentType: str
    Expires: datetime
    WebsiteRedirectLocation: str
    ServerSideEncryption: literals.ServerSideEncryption
    Metadata: dict[str, str]
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    BucketKeyEnabled: bool
    StorageClass: literals.StorageClass
    RequestCharged: literals.RequestCharged
    ReplicationStatus: literals.ReplicationStatus
    PartsCount: int
    TagCount: int
    ObjectLockMode: literals.ObjectLockMode
    ObjectLockRetainUntilDate: datetime
    ObjectLockLegalHoldStatus: literals.ObjectLockLegalHoldStatus
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.StoredInfo


class GetObjectAclResponse(TypedDict):
    """What `get_object_acl` returns."""

    Owner: shapes.S3Owner
    Grants: list[shapes.S3Grant]
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class GetObjectAttributesResponse(TypedDict):
    """What `get_object_attributes` returns."""

    DeleteMarker: bool
    LastModified: datetime
    VersionId: str
    RequestCharged: literals.RequestCharged
    ETag: str
    Checksum: shapes.S3Checksum
    ObjectParts: shapes.S3GetObjectAttributesParts
    StorageClass: literals.StorageClass
    ObjectSize: int
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.StoredInfo


class GetObjectLegalHoldResponse(TypedDict):
    """What `get_object_legal_hold` returns."""

    LegalHold: shapes.S3ObjectLockLegalHold
    ResponseMetadata: shapes.ResponseMetadata


class GetObjectRetentionResponse(TypedDict):
    """What `get_object_retention` returns."""

    Retention: shapes.S3ObjectLockRetention
    ResponseMetadata: shapes.ResponseMetadata


class GetObjectTaggingResponse(TypedDict):
    """What `get_object_tagging` returns."""

    VersionId: str
    TagSet: list[shapes.S3Tag]
    ResponseMetadata: shapes.ResponseMetadata


class HeadBucketResponse(TypedDict):
    """What `head_bucket` returns."""

    BucketArn: str
    BucketLocationType: literals.LocationType
    BucketLocationName: str
    BucketRegion: str
    AccessPointAlias: bool
    ResponseMetadata: shapes.ResponseMetadata


class HeadObjectResponse(TypedDict):
    """What `head_object` returns."""

    DeleteMarker: bool
    AcceptRanges: str
    Expiration: str
    Restore: str
    ArchiveStatus: literals.ArchiveStatus
    LastModified: datetime
    ContentLength: int
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    ChecksumType: literals.ChecksumType
    ETag: str
    MissingMeta: int
    VersionId: str
    CacheControl: str
    ContentDisposition: str
    ContentEncoding: str
    ContentLanguage: str
    ContentType: str
    ContentRange: NotRequired[str]
    Expires: datetime
    WebsiteRedirectLocation: str
    ServerSideEncryption: literals.ServerSideEncryption
    Metadata: dict[str, str]
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    BucketKeyEnabled: bool
    StorageClass: literals.StorageClass
    RequestCharged: literals.RequestCharged
    ReplicationStatus: literals.ReplicationStatus
    PartsCount: int
    TagCount: int
    ObjectLockMode: literals.ObjectLockMode
    ObjectLockRetainUntilDate: datetime
    ObjectLockLegalHoldStatus: literals.ObjectLockLegalHoldStatus
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.StoredInfo


class ListBucketsResponse(TypedDict):
    """What `list_buckets` returns."""

    Buckets: list[shapes.S3Bucket]
    Owner: shapes.S3Owner
    ContinuationToken: str
    Prefix: str
    ResponseMetadata: shapes.ResponseMetadata


class ListMultipartUploadsResponse(TypedDict):
    """What `list_multipart_uploads` returns."""

    Bucket: str
    KeyMarker: str
    UploadIdMarker: str
    NextKeyMarker: str
    Prefix: str
    Delimiter: str
    NextUploadIdMarker: str
    MaxUploads: int
    IsTruncated: bool
    Uploads: list[shapes.S3MultipartUpload]
    CommonPrefixes: NotRequired[list[shapes.S3CommonPrefix]]
    EncodingType: literals.EncodingType
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class ListObjectsResponse(TypedDict):
    """What `list_objects` returns."""

    IsTruncated: bool
    Marker: str
    NextMarker: NotRequired[str]
    Contents: list[shapes.S3Object]
    Name: str
    Prefix: str
    Delimiter: str
    MaxKeys: int
    CommonPrefixes: NotRequired[list[shapes.S3CommonPrefix]]
    EncodingType: literals.EncodingType
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata
    NextContinuationToken: NotRequired[str]


class ListObjectsV2Response(TypedDict):
    """What `list_objects_v2` returns."""

    IsTruncated: bool
    Contents: NotRequired[list[shapes.S3Object]]
    Name: str
    Prefix: str
    Delimiter: str
    MaxKeys: int
    CommonPrefixes: NotRequired[list[shapes.S3CommonPrefix]]
    EncodingType: literals.EncodingType
    KeyCount: int
    ContinuationToken: str
    NextContinuationToken: NotRequired[str]
    StartAfter: str
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class ListObjectVersionsResponse(TypedDict):
    """What `list_object_versions` returns."""

    IsTruncated: bool
    KeyMarker: str
    VersionIdMarker: str
    NextKeyMarker: str
    NextVersionIdMarker: str
    Versions: list[shapes.S3ObjectVersion]
    DeleteMarkers: list[shapes.S3DeleteMarkerEntry]
    Name: str
    Prefix: str
    Delimiter: str
    MaxKeys: int
    CommonPrefixes: NotRequired[list[shapes.S3CommonPrefix]]
    EncodingType: literals.EncodingType
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class ListPartsResponse(TypedDict):
    """What `list_parts` returns."""

    AbortDate: datetime
    AbortRuleId: str
    Bucket: str
    Key: str
    UploadId: str
    PartNumberMarker: int
    NextPartNumberMarker: int
    MaxParts: int
    IsTruncated: bool
    Parts: list[shapes.S3Part]
    Initiator: shapes.S3Initiator
    Owner: shapes.S3Owner
    StorageClass: literals.StorageClass
    RequestCharged: literals.RequestCharged
    ChecksumAlgorithm: literals.ChecksumAlgorithm
    ChecksumType: literals.ChecksumType
    ResponseMetadata: shapes.ResponseMetadata


class PutBucketAclResponse(TypedDict):
    """What `put_bucket_acl` returns."""

    ResponseMetadata: shapes.ResponseMetadata


class PutObjectResponse(TypedDict):
    """What `put_object` returns."""

    Expiration: str
    ETag: str
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    ChecksumType: literals.ChecksumType
    ServerSideEncryption: literals.ServerSideEncryption
    VersionId: str
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    SSEKMSEncryptionContext: str
    BucketKeyEnabled: bool
    Size: int
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata
    DeltaGliderInfo: additions.PutInfo


class PutObjectAclResponse(TypedDict):
    """What `put_object_acl` returns."""

    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class PutObjectLegalHoldResponse(TypedDict):
    """What `put_object_legal_hold` returns."""

    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class PutObjectRetentionResponse(TypedDict):
    """What `put_object_retention` returns."""

    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class PutObjectTaggingResponse(TypedDict):
    """What `put_object_tagging` returns."""

    VersionId: str
    ResponseMetadata: shapes.ResponseMetadata


class RestoreObjectResponse(TypedDict):
    """What `restore_object` returns."""

    RequestCharged: literals.RequestCharged
    RestoreOutputPath: str
    ResponseMetadata: shapes.ResponseMetadata


class UploadPartResponse(TypedDict):
    """What `upload_part` returns."""

    ServerSideEncryption: literals.ServerSideEncryption
    ETag: str
    ChecksumCRC32: str
    ChecksumCRC32C: str
    ChecksumCRC64NVME: str
    ChecksumSHA1: str
    ChecksumSHA256: str
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    BucketKeyEnabled: bool
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata


class UploadPartCopyResponse(TypedDict):
    """What `upload_part_copy` returns."""

    CopySourceVersionId: str
    CopyPartResult: shapes.S3CopyPartResult
    ServerSideEncryption: literals.ServerSideEncryption
    SSECustomerAlgorithm: str
    SSECustomerKeyMD5: str
    SSEKMSKeyId: str
    BucketKeyEnabled: bool
    RequestCharged: literals.RequestCharged
    ResponseMetadata: shapes.ResponseMetadata
