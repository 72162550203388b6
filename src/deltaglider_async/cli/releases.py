"""Ten consecutive releases of one program: what the demonstration stores.

They are botocore's, as pip fetches them (13 MB each; a wheel is a zip file). Where the package index cannot be
reached, they are made of this Python's own library instead.
"""

from __future__ import annotations

import platform
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from deltaglider_async.errors import DeltaGliderError

BOTOCORE = [f"1.35.{patch}" for patch in range(90, 100)]

#: Downloads at once, after the first has shown that there is an index.
_AT_ONCE = 4
#: Each file of the library is changed in one of so many releases.
_CHANGED_ONE_IN = 60
#: Every member of a zip file carries a time; a fixed one makes the same bytes on every run.
_TIME = (2025, 1, 1, 0, 0, 0)

#: Told how many releases are there.
Count = Callable[[int], None]


class IndexUnreachableError(DeltaGliderError):
    """pip could not fetch a release; the message is pip's."""


async def fetched(folder: Path, count: Count) -> list[Path]:
    """The ten releases of botocore in `folder`, fetched if they are not there yet.

    Raises `IndexUnreachableError` if pip is missing or cannot fetch them.
    """
    paths = [folder / f"botocore-{version}.zip" for version in BOTOCORE]
    missing = [path for path in paths if not await anyio.Path(path).exists()]
    done = len(paths) - len(missing)
    count(done)
    room = anyio.CapacityLimiter(_AT_ONCE)

    async def fetch(path: Path) -> None:
        nonlocal done
        async with room:
            await _fetch(path)
        done += 1
        count(done)

    if missing:
        await fetch(missing[0])
    failures: list[IndexUnreachableError] = []
    try:
        async with anyio.create_task_group() as group:
            for path in missing[1:]:
                group.start_soon(fetch, path)
    except* IndexUnreachableError as group_error:
        failures = [error for error in group_error.exceptions if isinstance(error, IndexUnreachableError)]
    if failures:
        raise failures[0]
    return paths


async def _fetch(path: Path) -> None:
    scratch = await run_sync(_scratch, path.parent)
    try:
        options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
        bounds = ["--retries", "1", "--timeout", "15"]
        wanted = path.stem.replace("-", "==")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", *options, *bounds, "--dest", scratch.name, wanted]
        result = await anyio.run_process(pip, input=b"", check=False)
        if result.returncode:
            lines = result.stderr.decode(errors="replace").strip().splitlines()
            raise IndexUnreachableError(lines[-1].strip() if lines else f"pip ended with {result.returncode}")
        await run_sync(_keep, Path(scratch.name), path)
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(scratch.cleanup)


def _keep(scratch: Path, path: Path) -> None:
    wheel = next(scratch.glob("*.whl"))
    wheel.replace(path)


async def made(folder: Path, count: Count) -> list[Path]:
    """Ten releases in `folder` made of this Python's library, a few files changed in each. Always the same bytes."""
    name = f"python-library-{platform.python_version()}"
    paths = [folder / f"{name}-r{release}.zip" for release in range(10)]
    for release, path in enumerate(paths):
        count(release)
        if not await anyio.Path(path).exists():
            await run_sync(_make, path, release)
    count(len(paths))
    return paths


def _make(path: Path, release: int) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    files = sorted(file for file in library.rglob("*.py") if skipped.isdisjoint(file.relative_to(library).parts))
    with _scratch(path.parent) as scratch:
        unfinished = Path(scratch, path.name)
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, file in enumerate(files):
                member = zipfile.ZipInfo(file.relative_to(library).as_posix(), _TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                changes = [f"\n# changed in release {n}\n" for n in range(release + 1) if number % _CHANGED_ONE_IN == n]
                archive.writestr(member, file.read_bytes() + "".join(changes).encode())
        unfinished.replace(path)


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for what is not finished, beside what is: a rename makes it appear whole."""
    return tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-")
