"""Where a server behaves in a way of its own, so that two answers of it say nothing about the clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from tests.differential.program import Call, Digest

if TYPE_CHECKING:
    from tests.differential.compare import Difference


@dataclass(frozen=True)
class Server:
    """`cannot`: calls that are left out. `says`: differences that are not the clients'."""

    cannot: Callable[[Call], bool]
    says: Callable[[Difference], bool]


def moto_cannot(step: Call) -> bool:
    """What moto answers wrongly, so that nothing can be compared.

    It keeps no condition of a copy but one, looks at no checksum, answers any part number with the whole, takes any
    number of keys, and forgets common prefixes behind a marker. Metadata that is no text is aiobotocore's own mistake.
    """
    arguments = step.arguments
    if step.name == "copy_object":
        return any(name.startswith("CopySourceIf") for name in arguments)
    wrong = any(isinstance(value, Digest) and not value.right for value in arguments.values())
    part = "PartNumber" in arguments and step.name in ("get_object", "head_object")
    marked = step.name == "list_object_versions" and {"KeyMarker", "Delimiter"} <= arguments.keys()
    no_text = arguments.get("Metadata") == {"k": 1}
    return wrong or part or marked or no_text or arguments.get("MaxKeys") == -1


#: MinIO keeps objects in files: a key cannot be an object and a folder, and some names are none.
_NO_KEYS_OF_MINIO = ("a", "a/b", "ü//x&<y>")


def minio_cannot(step: Call) -> bool:
    """What MinIO answers in a way of its own, so that nothing can be compared.

    It has no key for encryption, keeps no condition of a delete, takes a copy onto itself for a change of tags, and
    lists objects where none is wanted, and refuses markers outside of the prefix.
    """
    arguments = step.arguments
    named = [arguments.get("Key"), getattr(arguments.get("CopySource"), "key", None)]
    named += [item["Key"] for item in arguments.get("Delete", {}).get("Objects", ())]
    marker = arguments.get("KeyMarker", arguments.get("Marker", ""))
    elsewhere = bool(marker) and not marker.startswith(arguments.get("Prefix", ""))
    onto_itself = step.name == "copy_object" and named[0] == named[1]
    return (
        any(name in _NO_KEYS_OF_MINIO for name in named)
        or arguments.get("MaxKeys") == 0
        or elsewhere
        or "ServerSideEncryption" in arguments
        or (step.name == "delete_object" and "IfMatch" in arguments)
        or (onto_itself and "TaggingDirective" in arguments)
    )


def moto_says(difference: Difference) -> bool:
    """It leaves out elements that S3 sends (`Marker`, `Prefix`), and sends some that S3 does not (`Delimiter`).

    Its `NextMarker` is a digest, in encoded names a space is `%20` instead of `+`, and to `list_object_versions`, where
    botocore asks for encoded names, it does not say that it encodes them. A checksum that a put gives it does not
    repeat. It counts no uploads, gives versions to what has none, has no word for a missing source of a part, and does
    not know `Quiet`. Where it breaks, it says 500.
    """
    if difference.theirs in (500, "500") or difference.field == "ResponseMetadata.MaxAttemptsReached":
        return True
    match difference.operation, difference.field, difference.kind:
        case "list_objects" | "list_multipart_uploads", "Marker" | "Prefix" | "Delimiter", "added":
            return True
        case "delete_objects", "Deleted", "missing":
            return True
        case "list_objects", "NextMarker", "different":
            return len(difference.theirs) == 32
        case "list_multipart_uploads", "MaxUploads", "different":
            return True
        case "complete_multipart_upload", "VersionId", "missing":
            return bool(difference.theirs == "null")
        case "list_objects_v2", "StartAfter" | "ContinuationToken", "added":
            return True
        case "upload_part_copy", "Error.Code" | "Error.Key" | "Error.UploadId", _:
            return difference.theirs in ("404", None)
        case _, "Contents[].Key" | "Versions[].Key" | "CommonPrefixes[].Prefix", "different":
            return unquote_plus(difference.theirs) == unquote_plus(difference.ours)
        case "put_object", name, "added" if name.startswith("Checksum"):
            return True
        case "list_object_versions", "Delimiter", "missing":
            return bool(difference.theirs == "")
        case "list_object_versions", "EncodingType", "added":
            return True
    return False


def minio_says(difference: Difference) -> bool:
    """It sends empty elements, allows more uploads on a page, and tells parts of what was put at once.

    Of a key that is to be deleted twice, it forgets the name. It has a word of its own for a wrong checksum,
    and adds some to markers.
    """
    empty = difference.kind == "missing" and difference.theirs == ""
    marker = "minio_cache" in str(difference.theirs)
    own_word = difference.theirs == "XAmzContentChecksumMismatch" and difference.ours == "BadDigest"
    return empty or marker or own_word or difference.field in ("ObjectParts", "MaxUploads", "Deleted[].Key")


MOTO = Server(moto_cannot, moto_says)
MINIO = Server(minio_cannot, minio_says)
