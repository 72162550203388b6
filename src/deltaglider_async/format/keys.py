"""Logical keys and the keys of what is stored for them (docs/bucket-format.md)."""

from __future__ import annotations

from deltaglider_async.errors import InvalidRequestError

REFERENCE_NAME = "reference.bin"
DELTA_SUFFIX = ".delta"
#: Folder of everything that is ours and no object of the user's: temporary copies, trash, statistics.
INTERNAL_FOLDER = ".deltaglider"
#: S3's limit for a key, in bytes of UTF-8.
LONGEST_KEY = 1024


def parse_url(url: str) -> tuple[str, str]:
    """`s3://bucket/key` as `(bucket, key)`; the key may be empty.

    Raises `InvalidRequestError` for anything else.
    """
    scheme, separator, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() != "s3" or not separator or not bucket:
        raise InvalidRequestError(f"{url!r} is no S3 URL. Expected: s3://bucket/key")
    return bucket, key


def deltaspace(key: str) -> str:
    """The prefix that shares one reference with this key, without the last `/`; empty for the bucket's root."""
    return key.rpartition("/")[0]


def reference_key(space: str) -> str:
    """Key of a deltaspace's reference."""
    return f"{space}/{REFERENCE_NAME}" if space else REFERENCE_NAME


def delta_key(key: str) -> str:
    """Key of a logical key's delta form."""
    return key + DELTA_SUFFIX


def logical_key(stored: str) -> str:
    """The logical key of a stored plain or delta form."""
    return stored.removesuffix(DELTA_SUFFIX)


def is_internal(key: str) -> bool:
    """Whether the key is a reference or lies in a `.deltaglider/` folder: never listed, never written by users."""
    *folders, name = key.split("/")
    return name == REFERENCE_NAME or INTERNAL_FOLDER in folders


def is_reserved(key: str) -> bool:
    """Whether the format owns this key."""
    return is_internal(key) or key.endswith(DELTA_SUFFIX)


def check_writable(bucket: str, key: str) -> None:
    """Raise `InvalidRequestError` if a put of this logical key would meet the format's own objects."""
    if is_reserved(key):
        raise InvalidRequestError(
            f"cannot put s3://{bucket}/{key}: names ending in {DELTA_SUFFIX}, {REFERENCE_NAME} and "
            f"{INTERNAL_FOLDER}/ belong to the storage format. Choose another name."
        )


def fits(key: str) -> bool:
    """Whether S3 takes a key of this length."""
    return len(key.encode()) <= LONGEST_KEY
