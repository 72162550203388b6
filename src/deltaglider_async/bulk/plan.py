"""From what exists to what is to be done: pure, one object at a time, so that a plan needs no memory.

Each planner takes the objects that a source found, in the source's order, and gives the action for one, or None
if it is not part of the plan.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Literal, TypeVar

from deltaglider_async.bulk.actions import (
    CLIENT_DECIDES,
    Action,
    Copy,
    Delete,
    DeleteFile,
    Download,
    Options,
    Refusal,
    Upload,
    Verify,
)
from deltaglider_async.bulk.filters import EVERYTHING, Filters
from deltaglider_async.bulk.found import LocalFile, StoredObject
from deltaglider_async.bulk.names import local_parts
from deltaglider_async.errors import InvalidRequestError

Found = TypeVar("Found")
Planner = Callable[[Found], Action | None]
Archived = Literal["refuse", "ignore", "try"]
"""What becomes of objects that have to be restored before they can be read; `ignore` leaves them out in silence."""

_ARCHIVED = "it is archived (GLACIER, DEEP_ARCHIVE). Restore it first"


async def planned(found: AsyncGenerator[Found, None], planner: Planner[Found]) -> AsyncGenerator[Action, None]:
    """The plan for what a source finds, as it finds it."""
    async with aclosing(found):
        async for item in found:
            if action := planner(item):
                yield action


def uploads(
    bucket: str, prefix: str, *, filters: Filters = EVERYTHING, options: Options = CLIENT_DECIDES
) -> Planner[LocalFile]:
    """Plan files into `prefix` (empty, or ending in `/`)."""

    def plan(file: LocalFile) -> Action | None:
        if not filters.allow(file.name):
            return None
        if file.problem:
            return Refusal("upload", str(file.path), file.problem)
        return Upload(file.path, bucket, prefix + file.name, file.size, options)

    return plan


def downloads(
    folder: Path,
    *,
    filters: Filters = EVERYTHING,
    options: Options = CLIENT_DECIDES,
    archived: Archived = "refuse",
) -> Planner[StoredObject]:
    """Plan objects into `folder`. They must come in the order of their keys, as S3 lists them.

    Keys that would leave the folder, and objects under the name of another one (`a/b` where `a` is an object too),
    are refused, each for itself.
    """
    files: list[str] = []  # planned names that the current one starts with, shortest first: all a clash can be with

    def plan(found: StoredObject) -> Action | None:
        if found.marker or not filters.allow(found.name):
            return None
        if found.archived and archived != "try":
            return None if archived == "ignore" else _archived("download", found)
        source = f"s3://{found.bucket}/{found.key}"
        while files and not found.name.startswith(files[-1]):
            files.pop()
        if file := next((name for name in files if found.name.startswith(f"{name}/")), None):
            return Refusal("download", source,
                f"it needs a folder {str(folder / file)!r}, but the object of that name is a file. "
                "Download one of them alone, under another name."
            )  # fmt: skip
        try:
            path = folder.joinpath(*local_parts(found.name))
        except InvalidRequestError as error:
            return Refusal("download", source, str(error))
        files.append(found.name)
        return Download(found.bucket, found.key, path, folder, found.size, found.modified, options)

    return plan


def copies(
    bucket: str,
    prefix: str,
    *,
    filters: Filters = EVERYTHING,
    options: Options = CLIENT_DECIDES,
    archived: Archived = "refuse",
) -> Planner[StoredObject]:
    """Plan objects into another place in S3."""

    def plan(found: StoredObject) -> Action | None:
        if found.marker or not filters.allow(found.name):
            return None
        if found.archived and archived != "try":
            return None if archived == "ignore" else _archived("copy", found)
        return Copy(
            found.bucket, found.key, bucket, prefix + found.name, found.size, options, stored_size=found.stored_size
        )

    return plan


def deletes(*, filters: Filters = EVERYTHING, options: Options = CLIENT_DECIDES) -> Planner[StoredObject]:
    """Plan the removal of objects, markers of folders included."""

    def plan(found: StoredObject) -> Action | None:
        return Delete(found.bucket, found.key, options) if filters.allow(found.name) else None

    return plan


def file_deletes(*, filters: Filters = EVERYTHING) -> Planner[LocalFile]:
    """Plan the removal of local files. What could not be looked at stays."""

    def plan(file: LocalFile) -> Action | None:
        if not filters.allow(file.name):
            return None
        return Refusal("delete", str(file.path), file.problem) if file.problem else DeleteFile(file.path)

    return plan


def checks(*, filters: Filters = EVERYTHING, options: Options = CLIENT_DECIDES) -> Planner[StoredObject]:
    """Plan the verification of objects."""

    def plan(found: StoredObject) -> Action | None:
        if found.marker or not filters.allow(found.name):
            return None
        if found.archived:
            return Refusal("verify", f"s3://{found.bucket}/{found.key}", f"{_ARCHIVED}.")
        return Verify(found.bucket, found.key, found.size, options)

    return plan


def _archived(what: str, found: StoredObject) -> Refusal:
    return Refusal(
        what,
        f"s3://{found.bucket}/{found.key}",
        f"{_ARCHIVED}, or use --force-glacier-transfer if it has been.",
    )
