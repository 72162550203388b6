"""From what exists to what is to be done: pure, one object at a time, so that a plan needs no memory.

Each planner takes the objects that a source found, in the source's order, and gives the action for one, or None
if it is not part of the plan.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from deltaglider_async.bulk.actions import CLIENT_DECIDES, Action, Copy, Delete, Download, PutOptions, Refusal, Upload
from deltaglider_async.bulk.filters import EVERYTHING, Filters
from deltaglider_async.bulk.names import local_parts, object_name
from deltaglider_async.errors import InvalidRequestError

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that a walk found, or an entry that is none that could be read."""

    path: Path
    name: str
    """Relative to the source, with this platform's separator."""
    size: int = 0
    content_type: str | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A logical object that a listing found."""

    bucket: str
    key: str
    name: str
    """The key relative to the source."""
    size: int | None = None
    """None unless known to be the original's."""
    modified: datetime | None = None
    marker: bool = False
    """An empty object whose key ends in `/`: what consoles create to show a folder."""


async def planned(
    found: AsyncGenerator[Found, None], planner: Callable[[Found], Action | None]
) -> AsyncGenerator[Action, None]:
    """The plan for what a source finds, as it finds it."""
    async with aclosing(found):
        async for item in found:
            if action := planner(item):
                yield action


def uploads(
    bucket: str, prefix: str, *, filters: Filters = EVERYTHING, options: PutOptions = CLIENT_DECIDES
) -> Callable[[LocalFile], Action | None]:
    """Plan files into `prefix` (empty, or ending in `/`)."""

    def plan(file: LocalFile) -> Action | None:
        try:
            name = object_name(file.name)
        except InvalidRequestError as error:
            return Refusal("upload", str(file.path), error)
        if not filters.allow(name):
            return None
        if file.error:
            return Refusal("upload", str(file.path), file.error)
        return Upload(file.path, bucket, prefix + name, file.size, file.content_type, options)

    return plan


def downloads(folder: Path, *, filters: Filters = EVERYTHING) -> Callable[[StoredObject], Action | None]:
    """Plan objects into `folder`. They must come in the order of their keys, as S3 lists them.

    Keys that would leave the folder, and objects under the name of another one (`a/b` where `a` is an object too),
    are refused, each for itself.
    """
    files: list[str] = []  # planned names that the current one starts with, shortest first: all a clash can be with

    def plan(found: StoredObject) -> Action | None:
        if found.marker or not filters.allow(found.name):
            return None
        source = f"s3://{found.bucket}/{found.key}"
        while files and not found.name.startswith(files[-1]):
            files.pop()
        if file := next((name for name in files if found.name.startswith(f"{name}/")), None):
            return Refusal("download", source, InvalidRequestError(
                f"needs a folder {str(folder / file)!r}, but the object of that name is a file. "
                "Download one of them alone, under another name."
            ))  # fmt: skip
        try:
            path = folder.joinpath(*local_parts(found.name))
        except InvalidRequestError as error:
            return Refusal("download", source, error)
        files.append(found.name)
        return Download(found.bucket, found.key, path, folder, found.size, found.modified)

    return plan


def copies(
    bucket: str, prefix: str, *, filters: Filters = EVERYTHING, options: PutOptions = CLIENT_DECIDES
) -> Callable[[StoredObject], Action | None]:
    """Plan objects into another place in S3."""

    def plan(found: StoredObject) -> Action | None:
        if found.marker or not filters.allow(found.name):
            return None
        return Copy(found.bucket, found.key, bucket, prefix + found.name, found.size, options)

    return plan


def deletes(*, filters: Filters = EVERYTHING) -> Callable[[StoredObject], Action | None]:
    """Plan the removal of objects, markers of folders included."""

    def plan(found: StoredObject) -> Action | None:
        return Delete(found.bucket, found.key) if filters.allow(found.name) else None

    return plan
