"""Words that S3 knows.

Written by tools/s3_types.py; change that.
"""

from __future__ import annotations

from typing import Literal

ArchiveStatus = Literal["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"]
ChecksumAlgorithm = Literal["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]
ChecksumType = Literal["COMPOSITE", "FULL_OBJECT"]
EncodingType = Literal["url"]
LocationType = Literal["AvailabilityZone", "LocalZone"]
ObjectLockLegalHoldStatus = Literal["ON", "OFF"]
ObjectLockMode = Literal["GOVERNANCE", "COMPLIANCE"]
ObjectLockRetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]
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
Permission = Literal["FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP"]
ReplicationStatus = Literal["COMPLETE", "PENDING", "FAILED", "REPLICA", "COMPLETED"]
RequestCharged = Literal["requester"]
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
Type = Literal["CanonicalUser", "AmazonCustomerByEmail", "Group"]
