"""What a download leaves under the name that it was given."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from deltaglider_async.errors import IntegrityMismatchError, LocalIOError
from deltaglider_async.streams import Chunks, part_file
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.streams.part_file import write_file
from deltaglider_async.streams.threads import in_thread


def body(*pieces: bytes, error: Exception | None = None) -> ObjectBody:
    async def chunks() -> Chunks:
        for piece in pieces:
            yield piece
        if error:
            raise error

    return ObjectBody(chunks())


@pytest.fixture(params=["without a name", "with a name"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With files that have no name until they are complete, and as on a system that has none."""
    if request.param == "with a name":
        monkeypatch.setattr(part_file, "_without_name", lambda folder, mode: None)
    return str(request.param)


@pytest.mark.usefixtures("system")
async def test_a_new_file_and_a_replaced_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    await write_file(path, body(b"one", b"two"))
    assert path.read_bytes() == b"onetwo"
    path.chmod(0o600)
    await write_file(path, body(b"three"))
    assert path.read_bytes() == b"three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("system")
async def test_what_replaces_a_private_file_is_private_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    modes: list[int] = []

    def look() -> None:
        modes.extend(stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir())

    async def watched() -> Chunks:
        for _ in range(2):
            yield b"secret"
            await in_thread(look)

    await write_file(path, ObjectBody(watched()))
    assert set(modes) == {0o600}


@pytest.mark.usefixtures("system")
async def test_a_body_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(IntegrityMismatchError):
        await write_file(path, body(b"one", error=IntegrityMismatchError("wrong")))
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


async def test_a_file_under_way_has_no_name_where_the_system_can(tmp_path: Path, system: str) -> None:
    path, seen = tmp_path / ("x" * 255), []

    async def chunks() -> Chunks:
        for _ in range(2):
            yield bytes(1 << 20)
            seen.append(await asyncio.to_thread(os.listdir, tmp_path))

    await write_file(path, ObjectBody(chunks()))
    if system == "with a name" or sys.platform != "linux":
        assert all(name.startswith(".xxx") and name.endswith(".dg-part") for names in seen for name in names)
    else:
        assert seen == [[], []]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("system")
async def test_what_comes_into_the_way_meanwhile_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"

    async def chunks() -> Chunks:
        yield b"ours"
        await asyncio.to_thread(path.write_bytes, b"theirs")

    await write_file(path, ObjectBody(chunks()))
    assert path.read_bytes() == b"ours"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("system")
async def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"before")
    (tmp_path / "file").symlink_to("target")
    await write_file(tmp_path / "file", body(b"new"))
    assert (tmp_path / "target").read_bytes() == b"before"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.usefixtures("system")
async def test_a_folder_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "file"

    async def chunks() -> Chunks:
        yield b"ours"
        await asyncio.to_thread(path.mkdir)

    with pytest.raises(LocalIOError, match="cannot write"):
        await write_file(path, ObjectBody(chunks()))
    with pytest.raises(LocalIOError, match="cannot write"):
        await write_file(tmp_path / "nowhere" / "file", body(b"new"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


async def test_a_named_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.append(path.read_bytes()))
    reader.start()
    await write_file(path, body(b"one", b"two" * 100_000))
    reader.join()
    assert seen == [b"one" + b"two" * 100_000]
    assert stat.S_ISFIFO(path.stat().st_mode)
    await write_file(Path(os.devnull), body(b"one"))
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
