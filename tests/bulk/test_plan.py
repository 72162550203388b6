from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk.actions import Action, Copy, Delete, Download, Options, Refusal, Upload, Verify
from deltaglider_async.bulk.filters import Filters
from deltaglider_async.bulk.found import LocalFile, StoredObject, read_time, spell_time
from deltaglider_async.bulk.plan import checks, copies, deletes, downloads, uploads
from deltaglider_async.format.candidates import DEFAULT_POLICY

ONLY_ZIP = Filters.of([("exclude", "*"), ("include", "*.zip")])
OUT = Path("out")


def stored(name: str, *, size: int = 1) -> StoredObject:
    return StoredObject("b", f"p/{name}", name, size, marker=name.endswith("/") and size == 0)


def plan_downloads(names: Iterable[str]) -> list[Action | None]:
    plan = downloads(OUT)
    return [plan(stored(name)) for name in sorted(names)]


def test_a_file_goes_under_the_prefix_by_its_relative_name() -> None:
    found = LocalFile(Path("src/x/a.zip"), "x/a.zip", 7)
    action = uploads("b", "p/")(found)
    assert action == Upload(Path("src/x/a.zip"), "b", "p/x/a.zip", 7)


def test_filters_see_names_relative_to_the_source() -> None:
    plan = uploads("b", "zip/", filters=ONLY_ZIP)
    assert plan(LocalFile(Path("src.zip/a.txt"), "a.txt")) is None
    assert isinstance(plan(LocalFile(Path("src/a.zip"), "a.zip")), Upload)


def test_what_cannot_be_read_is_refused_unless_it_is_filtered_out() -> None:
    broken = LocalFile(Path("a.txt"), "a.txt", problem="Permission denied")
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
    assert checks()(marker) is None


def test_archived_objects_are_refused_left_out_or_tried() -> None:
    frozen = replace(stored("a"), archived=True)
    for plan in (downloads(OUT), copies("to", ""), checks()):
        assert isinstance(plan(frozen), Refusal)
    assert downloads(OUT, archived="ignore")(frozen) is copies("to", "", archived="ignore")(frozen) is None
    assert isinstance(downloads(OUT, archived="try")(frozen), Download)
    assert isinstance(copies("to", "", archived="try")(frozen), Copy)
    assert isinstance(deletes()(frozen), Delete)


def test_what_is_read_to_be_checked_is_every_object() -> None:
    assert checks()(stored("x/a.zip", size=3)) == Verify("b", "p/x/a.zip", 3)


@given(st.integers(-(10**18), 10**19))
def test_times_are_kept_to_the_nanosecond(moment: int) -> None:
    assert read_time(spell_time(moment)) == moment


@pytest.mark.parametrize("text", [None, "", "now", "1e9", "nan", "1_0", "9" * 5000, "١٢", "1.", " 1"])
def test_what_is_no_time_is_none(text: str | None) -> None:
    assert read_time(text) is None


def test_an_object_below_the_name_of_another_is_refused_though_others_sort_between() -> None:
    actions = plan_downloads(["a", "a-1", "a.zip", "a/b", "a/c", "b/c"])
    kinds = {
        action.key if isinstance(action, Download) else action.source: type(action)
        for action in actions
        if isinstance(action, Download | Refusal)
    }
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
    options = Options(use_delta=False)
    assert copies("to", "q/", options=options)(stored("x/a")) == Copy("b", "p/x/a", "to", "q/x/a", 1, options)


def test_only_puts_that_may_need_a_reference_have_to_wait_for_one() -> None:
    assert Options().lead("b", "x/y/a.zip", DEFAULT_POLICY) == "b/x/y"
    assert Options().lead("b", "x/a.txt", DEFAULT_POLICY) is None
    assert Options(use_delta=False).lead("b", "x/a.zip", DEFAULT_POLICY) is None
    assert Options(max_ratio=0).lead("b", "x/a.zip", DEFAULT_POLICY) is None
