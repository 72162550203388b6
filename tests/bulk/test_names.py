from __future__ import annotations

import asyncio
import mimetypes
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk import names
from deltaglider_async.bulk.names import guess_content_type, local_parts, object_name, prepare_place
from deltaglider_async.errors import InvalidRequestError

hostile = st.lists(st.sampled_from(["..", ".", "", "a", "b.zip", "\0", "...", " ", "~", "\\"]), max_size=5).map(
    "/".join
)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", "./a", "a/.", "a\0b", "..", "/"])
def test_names_that_are_no_plain_relative_file_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be a local file name"):
        local_parts(name)


@given(hostile | st.text())
def test_what_is_accepted_stays_inside_and_keeps_its_name(name: str) -> None:
    root = "/root/folder"
    try:
        parts = local_parts(name)
    except InvalidRequestError:
        return
    path = root + "/" + name
    assert os.path.normpath(path) == path == str(Path(root, *parts))


@pytest.mark.skipif(os.name != "posix", reason="names with bytes that are no text exist on POSIX only")
def test_a_name_that_is_not_utf8_is_refused_readably() -> None:
    with pytest.raises(InvalidRequestError, match=r"b\\\\xff\.zip"):
        object_name(os.fsdecode(b"b\xff.zip"))


def test_parents_are_created(tmp_path: Path) -> None:
    prepare_place(tmp_path / "out" / "a" / "b" / "file", tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b").is_dir()


def test_a_link_on_the_way_is_refused_and_nothing_created_behind_it(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(InvalidRequestError, match="symbolic link"):
        prepare_place(root / "link" / "deeper" / "file", root)
    assert not list(outside.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="POSIX has devices and pipes")
def test_a_link_to_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """It would be written to, wherever it is."""
    os.mkfifo(tmp_path / "pipe")
    root = tmp_path / "root"
    root.mkdir()
    for name, target in (("null", Path("/dev/null")), ("pipe", tmp_path / "pipe")):
        (root / name).symlink_to(target)
        with pytest.raises(InvalidRequestError, match="symbolic link"):
            prepare_place(root / name, root)
        prepare_place(root / name, None)  # named by the user, not by a key


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    prepare_place(tmp_path / "root" / "a" / "file", tmp_path / "root")
    assert (tmp_path / "real" / "a").is_dir()


async def test_the_table_of_types_is_read_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    usual = mimetypes.init

    def count() -> None:
        nonlocal read
        read += 1
        usual()

    monkeypatch.setattr(names, "_READ", threading.Event())
    monkeypatch.setattr(mimetypes, "_db", None)
    monkeypatch.setattr(mimetypes, "init", count)
    assert set(await asyncio.gather(*(guess_content_type("a.json") for _ in range(20)))) == {"application/json"}
    assert read == 1
