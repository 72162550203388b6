from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk.actions import Action, Copy, Delete, Download, PutOptions, Refusal, Upload
from deltaglider_async.bulk.filters import Filters
from deltaglider_async.bulk.plan import LocalFile, StoredObject, copies, deletes, downloads, uploads
from deltaglider_async.errors import LocalIOError

ONLY_ZIP = Filters.of([("exclude", "*"), ("include", "*.zip")])
OUT = Path("out")


def stored(name: str, *, size: int = 1) -> StoredObject:
    return StoredObject("b", f"p/{name}", name, size, marker=name.endswith("/") and size == 0)


def plan_downloads(names: Iterable[str]) -> list[Action | None]:
    plan = downloads(OUT)
    return [plan(stored(name)) for name in sorted(names)]


def test_a_file_goes_under_the_prefix_by_its_relative_name() -> None:
    found = LocalFile(Path("src/x/a.zip"), "x/a.zip", 7, "application/zip")
    action = uploads("b", "p/")(found)
    assert action == Upload(Path("src/x/a.zip"), "b", "p/x/a.zip", 7, "application/zip", PutOptions())


def test_filters_see_names_relative_to_the_source() -> None:
    plan = uploads("b", "zip/", filters=ONLY_ZIP)
    assert plan(LocalFile(Path("src.zip/a.txt"), "a.txt")) is None
    assert isinstance(plan(LocalFile(Path("src/a.zip"), "a.zip")), Upload)


def test_what_cannot_be_read_is_refused_unless_it_is_filtered_out() -> None:
    broken = LocalFile(Path("a.txt"), "a.txt", error=LocalIOError(13, "Permission denied", "a.txt"))
    assert isinstance(uploads("b", "")(broken), Refusal)
    assert uploads("b", "", filters=ONLY_ZIP)(broken) is None


def test_objects_become_files_below_the_folder() -> None:
    assert downloads(OUT)(stored("x/a.zip", size=3)) == Download("b", "p/x/a.zip", OUT / "x" / "a.zip", OUT, 3, None)


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/./b", "", "a/"])
def test_keys_that_would_leave_the_folder_are_refused(name: str) -> None:
    assert isinstance(downloads(OUT)(stored(name)), Refusal)


def test_markers_of_folders_are_no_files() -> None:
    marker = stored("x/", size=0)
    assert downloads(OUT)(marker) is None
    assert copies("to", "")(marker) is None
    assert isinstance(deletes()(marker), Delete)


def test_an_object_below_the_name_of_another_is_refused_though_others_sort_between() -> None:
    actions = plan_downloads(["a", "a-1", "a.zip", "a/b", "a/c", "b/c"])
    kinds = {action.source if isinstance(action, Refusal) else action.key: type(action) for action in actions if action}
    assert kinds == {
        "p/a": Download, "p/a-1": Download, "p/a.zip": Download,
        "s3://b/p/a/b": Refusal, "s3://b/p/a/c": Refusal, "p/b/c": Download,
    }  # fmt: skip


@given(st.sets(st.text("ab/-.", min_size=1, max_size=5), max_size=12))
def test_planned_files_never_clash(names: set[str]) -> None:
    actions = plan_downloads(names)
    files = {action.path for action in actions if isinstance(action, Download)}
    assert len(files) == sum(isinstance(action, Download) for action in actions)
    assert not any(parent in files for path in files for parent in path.parents)
    assert all(path.is_relative_to(OUT) and ".." not in path.parts for path in files)
    assert sum(action is not None for action in actions) == len(names)  # none is dropped silently


def test_copies_keep_relative_names() -> None:
    options = PutOptions(use_delta=False)
    assert copies("to", "q/", options=options)(stored("x/a")) == Copy("b", "p/x/a", "to", "q/x/a", 1, options)


def test_only_puts_that_may_need_a_reference_have_to_wait_for_one() -> None:
    assert PutOptions().lead("b", "x/y/a.zip") == "b/x/y"
    assert PutOptions().lead("b", "x/a.txt") is None
    assert PutOptions(use_delta=False).lead("b", "x/a.zip") is None
    assert PutOptions(max_ratio=0).lead("b", "x/a.zip") is None
