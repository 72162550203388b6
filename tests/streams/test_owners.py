"""What a killed process left is told from what is in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deltaglider_async.cache.disk import DiskEntries
from deltaglider_async.cache.own_folder import OwnFolder, sweep
from deltaglider_async.cache.plain import NamedFile
from deltaglider_async.streams import owners, part_file
from deltaglider_async.streams.part_file import _PartFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")

SHA256 = "ab" * 32


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@contextmanager
def another_process(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs some lines of Python, and waits until they are through; the process then goes on living."""
    command = [sys.executable, "-c", f"import sys\n{program}\nprint(flush=True)\nsys.stdin.read()", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


A_CACHE = """
from deltaglider_async.cache.disk import DiskEntries
entries = DiskEntries.private(None, "one", 1000)
entries.write("ab" * 32, [b"sealed"])
"""

A_PLAIN_REFERENCE = """
from deltaglider_async.cache.plain import NamedFile
plain = NamedFile()
plain.open()
plain.write([b"plain"])
"""

A_DOWNLOAD = """
from pathlib import Path
from deltaglider_async.streams import part_file
part_file._without_name = lambda folder, mode: None
part = part_file._PartFile(Path(sys.argv[1]))
part.open()
part.write([b"half"])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_process_cache_goes_with_the_next_one(temporary: Path, how: signal.Signals) -> None:
    with another_process(A_CACHE) as process:
        (folder,) = temporary.iterdir()
        DiskEntries.private(None, "two", 1000).close()
        assert [path.name for path in folder.iterdir()] == [f"{SHA256}.one.sealed"]  # it is in use
        process.send_signal(how)
        process.wait()
        entries = DiskEntries.private(None, "two", 1000)
        assert list(temporary.iterdir()) == [entries.folder]
        entries.close()
    assert not list(temporary.iterdir())


def test_a_dead_process_plain_reference_goes_with_the_next_one(temporary: Path) -> None:
    with another_process(A_PLAIN_REFERENCE) as process:
        (folder,) = temporary.iterdir()
        for _ in range(2):
            plain = NamedFile()
            plain.open()
            assert folder.exists() == (process.returncode is None)
            plain.close()
            process.kill()
            process.wait()
    assert not list(temporary.iterdir())


def test_a_forked_child_keeps_what_it_uses(temporary: Path) -> None:
    """The lock belongs to all who inherited it."""
    entries = DiskEntries.private(None, "one", 1000)
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        entries.close()
        assert not list(temporary.iterdir())
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)


def test_only_what_a_cache_leaves_is_removed(temporary: Path) -> None:
    for name in ("deltaglider-async-mine", "deltaglider-async-empty", "other"):
        (temporary / name).mkdir(mode=0o700)
    (temporary / "deltaglider-async-file").touch()
    (temporary / "deltaglider-async-mine" / "letter").touch()
    (temporary / "deltaglider-async-mine" / "1.sealed").touch()
    (temporary / "other" / "1.sealed").touch()
    (temporary / "deltaglider-async-link").symlink_to(temporary / "other")
    sweep(temporary, lambda name: name.endswith(".sealed"))
    assert sorted(path.name for path in temporary.rglob("*")) == [
        "1.sealed",
        "1.sealed",
        "deltaglider-async-file",
        "deltaglider-async-link",
        "deltaglider-async-mine",
        "letter",
        "other",
    ]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs the right to give files away")
def test_what_another_user_left_stays(temporary: Path) -> None:
    folder = temporary / "deltaglider-async-theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    sweep(temporary, lambda name: True)
    assert folder.exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_made_anew(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is gone before it is opened, once before it is locked, once while somebody has the lock."""
    hold, turns = owners.hold, iter(("swept", "locked"))
    make = tempfile.mkdtemp

    def swept_at_once(**arguments: str) -> str:
        monkeypatch.setattr(tempfile, "mkdtemp", make)
        path = make(**arguments)
        sweep(temporary, lambda name: True)
        assert not Path(path).exists()
        return path

    def too_late(path: Path, descriptor: int) -> bool:
        turn = next(turns, "")
        if turn == "swept":
            sweep(temporary, lambda name: True)
        if turn == "locked":
            other = os.open(path, os.O_RDONLY)
            assert owners.abandoned(other)
            held = hold(path, descriptor)
            os.close(other)
            return held
        return hold(path, descriptor)

    monkeypatch.setattr(tempfile, "mkdtemp", swept_at_once)
    monkeypatch.setattr(owners, "hold", too_late)
    own = OwnFolder()
    sweep(temporary, lambda name: False)
    assert own.path.exists()
    assert next(turns, None) is None
    own.remove()
    sweep(temporary, lambda name: True)
    assert not list(temporary.iterdir())


def test_without_locks_nothing_counts_as_abandoned(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(9, "Bad file descriptor")  # what NFS says of a folder

    monkeypatch.setattr("deltaglider_async.streams.owners.fcntl.flock", refuse)
    own = OwnFolder()
    sweep(None, lambda name: True)
    assert own.path.exists()
    own.remove()
    assert not own.path.exists()


@pytest.mark.parametrize("name", ["file", "a\nb", "x" * 255])
def test_a_dead_process_download_goes_with_the_next_one_into_that_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    others = [tmp_path / ".file.part", tmp_path / ".file.0123.dg-part", tmp_path / "file.0123456789ab.dg-part"]
    for other in others:
        other.write_bytes(b"the user's own")
    with another_process(A_DOWNLOAD, str(path)) as process:
        (part,) = set(tmp_path.iterdir()) - {path, *others}
        for _ in range(2):
            part_file._sweep.cache_clear()
            mine = _PartFile(tmp_path / "mine")
            mine.open()
            assert part.exists() == (process.returncode is None)
            mine.discard()
            process.kill()
            process.wait()
    assert set(tmp_path.iterdir()) == {path, *others}
    assert path.read_bytes() == b"before"
