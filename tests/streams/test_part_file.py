"""What a download leaves under the name that it was given."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.streams import Chunks
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


async def test_a_new_file_and_a_replaced_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    await write_file(path, body(b"one", b"two"))
    assert path.read_bytes() == b"onetwo"
    path.chmod(0o600)
    await write_file(path, body(b"three"))
    assert path.read_bytes() == b"three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


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
    assert modes == [0o600] * 4


async def test_a_body_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(IntegrityMismatchError):
        await write_file(path, body(b"one", error=IntegrityMismatchError("wrong")))
    assert path.read_bytes() == b"before"
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
