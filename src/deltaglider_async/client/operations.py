"""Every operation of S3 that speaks of objects, and what the client does with it.

What is not named here has nothing to do with the data or the name of an object, and is passed through. An operation
with a key that this release does not know, because a newer botocore brought it, is not offered: it would speak of a
stored object where the caller means a logical one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from botocore.model import ServiceModel

Kind = Literal["delta-aware", "stored object", "refused on deltas", "passed through", "unknown"]

#: Works on logical keys and on the original's bytes.
DELTA_AWARE = frozenset(
    {
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateMultipartUpload",
        "DeleteBucket",
        "DeleteObject",
        "DeleteObjects",
        "GetObject",
        "GetObjectAttributes",
        "HeadObject",
        "ListBuckets",
        "ListMultipartUploads",
        "ListObjectVersions",
        "ListObjects",
        "ListObjectsV2",
        "ListParts",
        "PutObject",
        "UploadPart",
        "UploadPartCopy",
    }
)
#: Works on what is stored for a logical key: its plain form, or its delta.
STORED_OBJECT = frozenset(
    {
        "DeleteObjectTagging",
        "GetObjectAcl",
        "GetObjectLegalHold",
        "GetObjectRetention",
        "GetObjectTagging",
        "PutObjectAcl",
        "PutObjectLegalHold",
        "PutObjectRetention",
        "PutObjectTagging",
        "RestoreObject",
    }
)
#: The service would read or move the stored bytes, which are not the object's. Plain objects are passed through.
REFUSED_ON_DELTAS = frozenset(
    {
        "GetObjectTorrent",
        "RenameObject",
        "SelectObjectContent",
        "UpdateObjectEncryption",
    }
)
#: Arguments by which an operation names an object.
_NAMING = frozenset({"Key", "CopySource", "RenameSource", "Delete"})


def kind_of(service: ServiceModel, operation: str) -> Kind:
    """What the client does with an operation (`PutObject`) of botocore's description of S3."""
    if operation in DELTA_AWARE:
        return "delta-aware"
    if operation in STORED_OBJECT:
        return "stored object"
    if operation in REFUSED_ON_DELTAS:
        return "refused on deltas"
    shape = service.operation_model(operation).input_shape
    return "unknown" if shape is not None and _NAMING & shape.members.keys() else "passed through"
