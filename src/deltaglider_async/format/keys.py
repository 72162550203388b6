"""Logical keys and the keys of what is stored for them (docs/bucket-format.md)."""

from __future__ import annotations

import re

from deltaglider_async.errors import InvalidRequestError

REFERENCE_NAME = "reference.bin"
DELTA_SUFFIX = ".delta"
#: Folder of everything that is ours and no object of the user's: temporary copies, trash, statistics.
INTERNAL_FOLDER = ".deltaglider"
#: What statistics keep in the bucket where they are asked to (format/sizes.py). The original's are `stats_*.json`.
SIZES_KEY = f"{INTERNAL_FOLDER}/sizes.v1"
#: S3's limit for a key, in bytes of UTF-8.
LONGEST_KEY = 1024

_MULTIPART = re.compile(rf"((?:.*/)?)\{INTERNAL_FOLDER}/multipart/([0-9a-f]{{32}})/([^/]+)", re.DOTALL)


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


def addressed_references(space: str) -> str:
    """Prefix of a deltaspace's references that are kept under their content's digest.

    They stand in for `reference.bin` on endpoints where nothing can be created on condition: whoever writes such a
    key writes the same bytes.
    """
    return f"{_internal(space)}refs/"


def addressed_reference_key(space: str, sha256: str) -> str:
    """Key of a reference under its digest (hex). The original finds it too, by the folder in `dg-ref-key`."""
    return f"{addressed_references(space)}{sha256}/{REFERENCE_NAME}"


def is_addressed(key: str) -> bool:
    """Whether this is the key of a reference under its digest."""
    return key.endswith(f"/{REFERENCE_NAME}") and f"/{INTERNAL_FOLDER}/refs/" in f"/{key}"


def is_reference(key: str) -> bool:
    """Whether this is the key of a reference, of either kind."""
    *folders, name = key.split("/")
    return is_addressed(key) or (name == REFERENCE_NAME and INTERNAL_FOLDER not in folders)


def reference_space(key: str) -> str:
    """The deltaspace of a reference's key, of either kind."""
    return (
        f"/{key}".rpartition(f"/{INTERNAL_FOLDER}/refs/")[0].removeprefix("/") if is_addressed(key) else deltaspace(key)
    )


def trash(space: str, sha256: str = "") -> str:
    """Prefix of a deltaspace's dropped references, or of those with one digest (hex)."""
    return f"{_internal(space)}trash/{sha256}{'/' if sha256 else ''}"


def trash_key(space: str, sha256: str, entry: str) -> str:
    """Key of a dropped reference. `entry` is random: each drop has an entry of its own."""
    return f"{trash(space, sha256)}{entry}/{REFERENCE_NAME}"


def is_trash(key: str) -> bool:
    """Whether this is the key of a dropped reference."""
    return key.endswith(f"/{REFERENCE_NAME}") and f"/{INTERNAL_FOLDER}/trash/" in f"/{key}"


def probe_key(space: str, name: str) -> str:
    """Key of an object that is written to find out what an endpoint can do, and removed at once."""
    return f"{_internal(space)}probe/{name}"


#: Prefix of temporary copies, at the root of a bucket.
TEMPORARY = f"{INTERNAL_FOLDER}/tmp/"  # noqa: S108, not of this machine


def temporary_key(random: str, name: str) -> str:
    """Key of a temporary copy. A name that is too long is cut."""
    return f"{TEMPORARY}{random}_{name}".encode()[:LONGEST_KEY].decode(errors="ignore")


def multipart_folder(key: str) -> str:
    """Prefix of the temporary keys of uploads to this key and its neighbours.

    It goes by the text before the last `/`, not by deltaspace: `/app.zip` and `app.zip` share that.
    """
    return f"{key[: key.rfind('/') + 1]}{INTERNAL_FOLDER}/multipart/"


def multipart_key(key: str, name: str) -> str:
    """Temporary key of a multipart upload to a logical key. `name` is random, 32 hex digits: each has its own."""
    return f"{multipart_folder(key)}{name}/{key[key.rfind('/') + 1 :]}"


def multipart_target(stored: str) -> tuple[str, str] | None:
    """The logical key and the random name of a temporary key; None if it is none."""
    match = _MULTIPART.fullmatch(stored)
    if match is None or is_reserved(match[1] + match[3]):
        return None
    return match[1] + match[3], match[2]


def _internal(space: str) -> str:
    return f"{space}/{INTERNAL_FOLDER}/" if space else f"{INTERNAL_FOLDER}/"


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


def internal_folder(key: str) -> str:
    """The `.deltaglider/` folder in which a key lies, with its path; empty if it is in none."""
    above, found, _ = f"/{key}".partition(f"/{INTERNAL_FOLDER}/")
    return f"{above}{found}".removeprefix("/") if found else ""


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
