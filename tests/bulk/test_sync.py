"""What a sync decides, on listings made up for it; that it does so on real ones is shown beside `aws s3 sync`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk.actions import Action, Delete, Upload
from deltaglider_async.bulk.filters import Filters
from deltaglider_async.bulk.found import LocalFile, StoredObject
from deltaglider_async.bulk.plan import deletes, uploads
from deltaglider_async.bulk.sync import Comparison, Direction, Rules, paired, synced

T = TypeVar("T")
OLD, NEW = 1_000_000_000, 2_000_000_000


async def each(items: Iterable[T]) -> AsyncGenerator[T, None]:
    for item in items:
        yield item


def local(name: str, size: int | None = 1, seconds: float = OLD) -> LocalFile:
    return LocalFile(Path(name), name, size or 0, int(seconds * 10**9))


def stored(name: str, size: int | None = 1, seconds: float = OLD) -> StoredObject:
    return StoredObject("b", name, name, size, datetime.fromtimestamp(seconds, UTC))


async def plan(
    sources: list[LocalFile], destinations: list[StoredObject], comparison: Comparison, filters: Filters | None = None
) -> tuple[list[Action], list[str]]:
    """The actions, and the keys that were asked about."""
    asked: list[str] = []

    async def examine(found: StoredObject) -> StoredObject:
        asked.append(found.key)
        return replace(found, size=5, examined=True, sha256="5" * 64)

    async def digest(file: LocalFile) -> str:
        return str(file.size) * 64

    chosen = filters or Filters()
    rules = Rules(comparison, uploads("b", "", filters=chosen), deletes(filters=chosen), examine, digest)
    pairs = paired(each(sources), each(destinations))
    return [action async for action in synced(pairs, rules)], asked


@given(st.sets(st.text("ab/-.é漢", min_size=1, max_size=4)), st.sets(st.text("ab/-.é漢", min_size=1, max_size=4)))
async def test_what_is_missing_is_carried_over_and_what_is_too_much_removed(here: set[str], there: set[str]) -> None:
    actions, asked = await plan(
        [local(name) for name in sorted(here)], [stored(name) for name in sorted(there)], Comparison("upload")
    )
    assert {action.key for action in actions if isinstance(action, Upload)} == here - there
    assert {action.key for action in actions if isinstance(action, Delete)} == there - here
    assert not asked


@pytest.mark.parametrize(
    ("direction", "options", "source", "destination", "differs"),
    [
        ("upload", {}, OLD, NEW, False),
        ("upload", {}, OLD, OLD, False),
        ("upload", {}, OLD + 0.5, OLD, True),
        ("upload", {"size_only": True}, NEW, OLD, False),
        ("upload", {"exact_timestamps": True}, OLD, NEW, False),
        ("copy", {}, NEW, OLD, True),
        ("copy", {}, OLD, NEW, False),
        ("download", {}, OLD, NEW, True),
        ("download", {}, NEW, OLD, False),
        ("download", {"exact_timestamps": True}, NEW, OLD, True),
        ("download", {"exact_timestamps": True}, OLD, OLD, False),
    ],
)
def test_times_are_compared_as_aws_s3_sync_does(
    direction: Direction, options: dict[str, bool], source: float, destination: float, differs: bool
) -> None:
    comparison = Comparison(direction, **options)
    ends = (stored("a", seconds=source), local("a", seconds=destination))
    if direction == "upload":
        assert comparison.differs(local("a", seconds=source), stored("a", seconds=destination)) is differs
    elif direction == "download":
        assert comparison.differs(*ends) is differs
    else:
        assert comparison.differs(ends[0], stored("a", seconds=destination)) is differs
    larger = (replace(ends[0], size=2), ends[1])
    assert comparison.differs(*larger)


async def test_the_size_of_a_delta_is_asked_for_only_where_it_decides() -> None:
    files = [local("1", 5, NEW), local("2", 5, OLD), local("3", 6, OLD), local("4", 5, OLD), local("5")]
    objects = [stored("1", None), stored("2", None), stored("3", None), stored("4", 5)]
    actions, asked = await plan(files, objects, Comparison("upload"))
    assert [action.key for action in actions if isinstance(action, Upload)] == ["1", "3", "5"]
    assert sorted(asked) == ["2", "3"]


async def test_with_checksums_the_content_decides_and_neither_time_nor_a_larger_size_is_looked_into() -> None:
    files = [local("1", 5, NEW), local("2", 6, OLD), local("3", 7, OLD)]
    actions, asked = await plan(
        files, [stored("1", None), stored("2", None), stored("3", 5)], Comparison("upload", checksum=True)
    )
    assert [action.key for action in actions if isinstance(action, Upload)] == ["2", "3"]
    assert sorted(asked) == ["1", "2"]


def test_without_a_recorded_digest_size_and_time_decide() -> None:
    comparison = Comparison("upload", checksum=True)
    assert comparison.differs(local("a", seconds=NEW), replace(stored("a"), examined=True))
    assert not comparison.differs(local("a"), replace(stored("a"), examined=True))


def test_recorded_times_are_the_file_s_own() -> None:
    comparison = Comparison("download", recorded_times=True)
    known = replace(stored("a", seconds=NEW), examined=True, recorded_ns=OLD * 10**9)
    assert comparison.needs(stored("a"), local("a"))
    assert not comparison.differs(known, local("a", seconds=OLD))
    assert comparison.differs(known, local("a", seconds=NEW))
    assert comparison.differs(known, local("a", seconds=OLD - 1))
    assert not comparison.differs(replace(known, recorded_ns=None), local("a", seconds=OLD))


async def test_nothing_is_removed_below_what_could_not_be_read() -> None:
    unread = [replace(local("a"), problem="gone"), replace(local("b/"), problem="Permission denied")]
    objects = [stored(name) for name in ("a", "a-", "a/1", "b/1", "b/c/2", "b0", "c")]
    actions, _ = await plan(unread, objects, Comparison("upload"))
    assert [action.key for action in actions if isinstance(action, Delete)] == ["a-", "b0", "c"]


async def test_what_is_excluded_is_neither_carried_over_nor_removed() -> None:
    filters = Filters.of([("exclude", "*.tmp")])
    actions, _ = await plan([local("1.tmp"), local("2")], [stored("3.tmp"), stored("4")], Comparison("upload"), filters)
    assert [action.key for action in actions if isinstance(action, Upload | Delete)] == ["2", "4"]
