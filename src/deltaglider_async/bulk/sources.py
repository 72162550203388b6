"""What exists: local folders and listings, found lazily and off the event loop, in the order of S3's keys."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from anyio.to_thread import run_sync

from deltaglider_async.bulk.found import RECORDED_TIME, LocalFile, StoredObject, read_time
from deltaglider_async.bulk.names import object_name
from deltaglider_async.engine.core import is_archived
from deltaglider_async.engine.read_ahead import EASY_PAGE
from deltaglider_async.errors import InvalidRequestError, LocalIOError, NotFoundError, StorageIOError
from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient

#: Entries that are looked at per visit to a thread.
_BATCH = 256
NOTHING: Mapping[str, Any] = {}

Links = Literal["follow", "files", "skip"]
"""Which symbolic links count: all, those to files, or none."""


async def walk(
    folder: Path, links: Links = "follow", *, may_be_missing: bool = False
) -> AsyncGenerator[LocalFile, None]:
    """The files below `folder`, in the order that their names have as S3 keys.

    Symbolic links are followed, as `aws s3` does. What is no readable file comes with its problem. Memory: the names
    of one folder at each level. Raises `LocalIOError` if `folder` itself cannot be read, or is not there, unless it
    `may_be_missing`.
    """
    if may_be_missing and not await run_sync(folder.exists):
        return
    found = _walk(folder, links)
    while batch := await run_sync(lambda: list(islice(found, _BATCH))):
        for file in batch:
            yield file


async def one_file(path: Path) -> LocalFile:
    """The file of this name. Raises `LocalIOError` if there is none that could be read."""

    def look() -> LocalFile:
        try:
            status = path.stat()
        except OSError as error:
            raise LocalIOError(error.errno, error.strerror, str(path)) from error
        if stat.S_ISDIR(status.st_mode):
            raise LocalIOError(errno.EISDIR, "is a folder, which needs -r", str(path))
        file = _file(path, object_name(path.name), status)
        if file.problem:
            raise LocalIOError(errno.EINVAL, f"cannot read it: {file.problem}", str(path))
        return file

    return await run_sync(look)


async def digest(file: LocalFile) -> str:
    """The SHA-256 of a file's content, in hex. Raises `LocalIOError`."""

    def read() -> str:
        try:
            with file.path.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise LocalIOError(error.errno, f"cannot read {file.path}: {error.strerror}") from error

    return await in_thread(read)


def _walk(top: Path, links: Links) -> Iterator[LocalFile]:
    try:
        names = _names(top)
    except OSError as error:
        raise LocalIOError(error.errno, f"cannot read folder: {error.strerror}", str(top)) from error
    yield from _folder(top, "", names, (), links)


def _names(folder: Path) -> list[str]:
    """What is in a folder, in the order of keys: a folder's name counts as if it ended in `/`."""
    with os.scandir(folder) as entries:
        return sorted(entry.name + ("/" if _leads_to_folder(entry) else "") for entry in entries)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _folder(
    folder: Path, relative: str, names: list[str], above: tuple[tuple[int, int], ...], links: Links
) -> Iterator[LocalFile]:
    """`above`: device and inode of each folder on the way here, to find links that lead back."""
    here = (*above, _identity(folder.stat()))
    for name in names:
        path = folder / name.removesuffix("/")
        if links != "follow" and path.is_symlink() and (links == "skip" or name.endswith("/")):
            continue
        try:
            object_name(name)
            if not name.endswith("/"):
                yield _file(path, relative + name, path.stat())
                continue
            if _identity(path.stat()) in here:
                raise InvalidRequestError("it is a link to a folder that contains it")
            inside = _names(path)
        except (OSError, InvalidRequestError) as error:
            yield LocalFile(path, relative + name, problem=getattr(error, "strerror", None) or str(error))
        else:
            yield from _folder(path, relative + name, inside, here, links)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _file(path: Path, name: str, status: os.stat_result) -> LocalFile:
    problem = None
    if not stat.S_ISREG(status.st_mode):
        problem = "it is no regular file"
    elif not os.access(path, os.R_OK):
        problem = os.strerror(errno.EACCES)
    return LocalFile(path, name, status.st_size, status.st_mtime_ns, problem)


async def listing(
    client: DeltaGliderClient,
    bucket: str,
    prefix: str,
    *,
    original_sizes: bool = False,
    access: Mapping[str, Any] = NOTHING,
) -> AsyncGenerator[StoredObject, None]:
    """The logical objects whose keys start with `prefix`, in order; memory: one page.

    `original_sizes` costs a request per delta whose size is neither known nor kept in the bucket. `access` goes with
    every request.
    """
    token: str | None = None
    while True:
        page = await client.list_objects_v2(
            Bucket=bucket,
            Prefix=prefix,
            MaxKeys=EASY_PAGE,
            ContinuationToken=token,
            FetchMetadata="sizes" if original_sizes else False,
            **access,
        )
        for entry in page.get("Contents", []):
            key, size = entry["Key"], entry["Size"]
            stored = not original_sizes and entry.get("Metadata", {}).get("deltaglider-is-delta") == "true"
            yield StoredObject(
                bucket,
                key,
                key[len(prefix) :],
                None if stored else size,
                entry["LastModified"],
                marker=key.endswith("/") and size == 0,
                archived=is_archived(entry),
                stored_size=size if stored else None,
            )
        if not page.get("IsTruncated"):
            return
        token = page["NextContinuationToken"]


async def head_object(client: DeltaGliderClient, bucket: str, key: str, access: Mapping[str, Any]) -> Mapping[str, Any]:
    """HeadObject. Unlike its own, the `NotFoundError` here tells a missing bucket from a missing object."""
    try:
        return await client.head_object(Bucket=bucket, Key=key, **access)
    except NotFoundError:
        owner = {name: value for name, value in access.items() if name == "ExpectedBucketOwner"}
        with suppress(StorageIOError):  # who may not look at the bucket is told of the object
            await client.head_bucket(Bucket=bucket, **owner)
        raise


async def one_object(
    client: DeltaGliderClient, bucket: str, key: str, access: Mapping[str, Any] = NOTHING
) -> StoredObject:
    """The object of this key. Raises `NotFoundError` if there is none."""
    return await examined(client, StoredObject(bucket, key, key.rpartition("/")[2]), access)


async def examined(client: DeltaGliderClient, found: StoredObject, access: Mapping[str, Any] = NOTHING) -> StoredObject:
    """The same object with all that a HEAD tells. Raises `NotFoundError` if it is gone."""
    head = await head_object(client, found.bucket, found.key, access)
    checksum = head.get("ChecksumSHA256")
    return replace(
        found,
        size=head["ContentLength"],
        modified=head["LastModified"],
        archived=is_archived(head),
        examined=True,
        # One of several parts is no digest of the whole.
        sha256=base64.b64decode(checksum).hex() if checksum and "-" not in checksum else None,
        recorded_ns=read_time(head.get("Metadata", {}).get(RECORDED_TIME)),
    )
