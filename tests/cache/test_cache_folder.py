"""The folder of the disk cache: who may share it, what is cleaned up, where it is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from deltaglider_async.cache.disk import DiskEntries
from deltaglider_async.errors import ConfigurationError

SHA256 = "ab" * 32


def shared(folder: Path | None, label: str = "one", limit: int = 1000) -> DiskEntries:
    return DiskEntries.shared(folder, label, limit)


def test_folder_and_entries_are_private(tmp_path: Path) -> None:
    entries = shared(tmp_path / "parent" / "cache")
    entries.write(SHA256, [b"sealed"])
    (entry,) = entries.folder.iterdir()
    assert (entries.folder.stat().st_mode & 0o777, entry.stat().st_mode & 0o777) == (0o700, 0o600)
    assert entry.name.startswith(SHA256)


def test_the_default_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert shared(None).folder == tmp_path / "xdg" / "deltaglider-async"
    for without in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", without)
        assert shared(None).folder == tmp_path / ".cache" / "deltaglider-async"
    monkeypatch.setattr("sys.platform", "darwin")
    assert shared(None).folder == tmp_path / "Library" / "Caches" / "deltaglider-async"


def test_refuses_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigurationError, match=r"DG_CACHE_DIR.*symbolic link"):
        shared(tmp_path / "cache")


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_refuses_a_folder_that_others_can_write(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        shared(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to give files away")
def test_refuses_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(ConfigurationError, match="12345"):
        shared(folder)


def test_refuses_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(ConfigurationError, match="DG_CACHE_DIR"):
            shared(path)
        with pytest.raises(ConfigurationError, match="DG_CACHE_DIR"):
            DiskEntries.private(path, "one", 1000)


def test_abandoned_partial_files_are_removed_and_fresh_ones_kept(tmp_path: Path) -> None:
    entries = shared(tmp_path / "cache")
    old, fresh = (entries.folder / f"{name}.partial" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.touch()
    os.utime(old, (time.time() - 4000,) * 2)
    entries.write(SHA256, [b"sealed"])
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    entries = shared(tmp_path / "cache")
    with pytest.raises(ZeroDivisionError):
        entries.write(SHA256, (bytes(1 // n) for n in (1, 0)))
    assert list(entries.folder.iterdir()) == []


def test_the_bound_counts_entries_of_every_key_and_the_oldest_use_goes_first(tmp_path: Path) -> None:
    one, other = shared(tmp_path / "cache"), shared(tmp_path / "cache", "other")
    names = [f"{index:064x}" for index in range(4)]
    for age, (entries, name) in enumerate(zip([one, other, one], names, strict=False)):
        entries.write(name, [bytes(400)] if age < 2 else [bytes(100)])
        os.utime(next(entries.folder.glob(f"{name}*")), (1000 + age,) * 2)
    assert one.holds(names[0])
    one.write(names[3], [bytes(400)])
    assert [(one.holds(name), other.holds(name)) for name in names] == [
        (True, False),
        (False, False),
        (True, False),
        (True, False),
    ]
    assert one.stored_size() == 900


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    entries = shared(tmp_path / "cache")
    (entries.folder / "notes.txt").write_bytes(bytes(5000))
    entries.write(SHA256, [b"sealed"])
    entries.clear()
    entries.close()
    assert [path.name for path in entries.folder.iterdir()] == ["notes.txt"]
