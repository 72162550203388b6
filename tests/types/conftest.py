"""mypy as users run it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

Mypy = Callable[..., str]


@pytest.fixture(scope="session")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Mypy:
    """What `mypy --strict` says of a file; empty where it has no complaints."""
    cache = tmp_path_factory.mktemp("mypy-cache")

    def check(path: Path, python: Path | str = sys.executable) -> str:
        options = ["--strict", "--no-error-summary", "--config-file", "", "--cache-dir", str(cache / str(hash(python)))]
        command = [sys.executable, "-m", "mypy", *options, "--python-executable", str(python), str(path)]
        # Elsewhere than in the project, so that nothing of it is found but what is installed.
        result = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
        assert result.returncode in (0, 1), result.stderr
        return result.stdout

    return check


@pytest.fixture(scope="session")
def python_without_stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has all that this one has, except stubs."""
    folder = tmp_path_factory.mktemp("without-stubs")
    venv.create(folder, with_pip=False, symlinks=True)
    (there,) = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("types_") and not entry.name.endswith("-stubs"):
            (there / entry.name).symlink_to(entry)
    return folder / "bin" / "python"
