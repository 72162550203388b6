from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import pytest

from deltaglider_async.cli import releases


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds nothing, at once."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


async def test_releases_that_are_there_are_not_fetched_again(tmp_path: Path, no_index: None) -> None:
    for version in releases.BOTOCORE:
        (tmp_path / f"botocore-{version}.zip").write_bytes(b"fetched before")
    counts: list[int] = []
    paths = await releases.fetched(tmp_path, counts.append)
    assert [path.read_bytes() for path in paths] == [b"fetched before"] * 10
    assert counts == [10]


async def test_an_index_out_of_reach_is_an_error_and_leaves_nothing(tmp_path: Path, no_index: None) -> None:
    with pytest.raises(releases.IndexUnreachableError, match=r"botocore==1\.35\.90"):
        await releases.fetched(tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_the_demonstration_works_without_an_index(tmp_path: Path, no_index: None) -> None:
    command = [sys.executable, "-m", "deltaglider_async.cli", "demo", "--folder", str(tmp_path)]
    result = run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.returncode == 0
    assert "They cannot be fetched." in result.stdout
    assert "every byte is the same" in result.stdout
    assert "10 objects (10 deltas, 0 whole)" in result.stdout
    lines = [line.replace(str(tmp_path), "") for line in result.stdout.splitlines()]
    assert max(len(line) for line in lines if "s3://" not in line) <= 120
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 10
    assert all(name.startswith("python-library-") for name in kept)
