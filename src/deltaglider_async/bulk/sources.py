"""What exists: local folders and listings, found lazily and off the event loop."""

from __future__ import annotations

import errno
import mimetypes
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from deltaglider_async.bulk.plan import LocalFile, StoredObject
from deltaglider_async.errors import InvalidRequestError, LocalIOError

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient

#: Entries that are looked at per visit to a thread.
_BATCH = 256


async def walk(folder: Path) -> AsyncGenerator[LocalFile, None]:
    """The files below `folder`, the files of each folder before its subfolders, both in order of their names.

    Symbolic links are followed, as `aws s3` does. What is no readable file comes with its error. Memory: the names
    of one folder at each level. Raises `LocalIOError` if `folder` itself cannot be read.
    """
    found = _walk(folder)
    while batch := await run_sync(lambda: list(islice(found, _BATCH))):
        for file in batch:
            yield file


async def one_file(path: Path) -> LocalFile:
    """The file of this name. Raises `LocalIOError` if there is none that could be read."""
    file = await run_sync(_look, path, path.name)
    if file.error:
        raise file.error
    return file


def _walk(top: Path) -> Iterator[LocalFile]:
    yield from _folder(top, "", _names(top), ())


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise LocalIOError(error.errno, f"cannot read folder: {error.strerror}", str(folder)) from error


def _folder(folder: Path, relative: str, names: list[str], above: tuple[tuple[int, int], ...]) -> Iterator[LocalFile]:
    """`above`: device and inode of each folder on the way here, to find links that lead back."""
    here = (*above, _identity(folder.stat()))
    subfolders = []
    for name in names:
        found = _look(folder / name, relative + name)
        if isinstance(found.error, IsADirectoryError):
            subfolders.append(name)
        else:
            yield found
    for name in subfolders:
        path = folder / name
        try:
            if _identity(path.stat()) in here:
                raise InvalidRequestError(f"{path} is a link to a folder that contains it")
            inside = _names(path)
        except (OSError, InvalidRequestError) as error:
            yield LocalFile(path, relative + name, error=error)
        else:
            yield from _folder(path, f"{relative}{name}{os.sep}", inside, here)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _look(path: Path, name: str) -> LocalFile:
    try:
        status = path.stat()
    except OSError as error:
        return LocalFile(path, name, error=LocalIOError(error.errno, error.strerror, str(path)))
    if stat.S_ISDIR(status.st_mode):
        return LocalFile(path, name, error=IsADirectoryError(errno.EISDIR, "is a folder, which needs -r", str(path)))
    if not stat.S_ISREG(status.st_mode):
        return LocalFile(path, name, error=InvalidRequestError(f"{path} is no regular file"))
    return LocalFile(path, name, status.st_size, guess_content_type(name))


def guess_content_type(name: str) -> str | None:
    """By the name's suffix, as `aws s3` does. Blocking at its first call, which reads the system's table."""
    return mimetypes.guess_type(name)[0]


async def listing(
    client: DeltaGliderClient, bucket: str, prefix: str, *, original_sizes: bool = False
) -> AsyncGenerator[StoredObject, None]:
    """The logical objects whose keys start with `prefix`, in order; memory: one page.

    `original_sizes` costs a request per delta whose size is not known yet.
    """
    token: str | None = None
    while True:
        page = await client.list_objects_v2(
            Bucket=bucket, Prefix=prefix, ContinuationToken=token, FetchMetadata=original_sizes
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
            )
        if not page.get("IsTruncated"):
            return
        token = page["NextContinuationToken"]


async def one_object(client: DeltaGliderClient, bucket: str, key: str) -> StoredObject:
    """The object of this key. Raises `NotFoundError` if there is none."""
    head = await client.head_object(Bucket=bucket, Key=key)
    return StoredObject(bucket, key, key.rpartition("/")[2], head["ContentLength"], head["LastModified"])
