"""Words that S3 knows.

Written by tools/s3_types.py; change that.
"""

from __future__ import annotations

from typing import Literal

ArchiveStatus = Literal["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"]
BucketCannedACL = Literal["private", "public-read", "public-read-write", "authenticated-read"]
BucketLocationConstraint = Literal[
    "af-south-1",
    "ap-east-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ca-central-1",
    "cn-north-1",
    "cn-northwest-1",
    "EU",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "sa-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
]
BucketType = Literal["Directory"]
ChecksumAlgorithm = Literal["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]
ChecksumMode = Literal["ENABLED"]
ChecksumType = Literal["COMPOSITE", "FULL_OBJECT"]
DataRedundancy = Literal["SingleAvailabilityZone", "SingleLocalZone"]
EncodingType = Literal["url"]
LocationType = Literal["AvailabilityZone", "LocalZone"]
MetadataDirective = Literal["COPY", "REPLACE"]
ObjectCannedACL = Literal[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
]
ObjectLockLegalHoldStatus = Literal["ON", "OFF"]
ObjectLockMode = Literal["GOVERNANCE", "COMPLIANCE"]
ObjectLockRetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]
ObjectOwnership = Literal["BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"]
ObjectStorageClass = Literal[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "GLACIER",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
]
ObjectVersionStorageClass = Literal["STANDARD"]
OptionalObjectAttributes = Literal["RestoreStatus"]
Permission = Literal["FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP"]
ReplicationStatus = Literal["COMPLETE", "PENDING", "FAILED", "REPLICA", "COMPLETED"]
RequestCharged = Literal["requester"]
RequestPayer = Literal["requester"]
ServerSideEncryption = Literal["AES256", "aws:fsx", "aws:kms", "aws:kms:dsse"]
StorageClass = Literal[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
]
TaggingDirective = Literal["COPY", "REPLACE"]
Type = Literal["CanonicalUser", "AmazonCustomerByEmail", "Group"]
