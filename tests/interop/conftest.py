"""The original, `deltaglider` 6.2.0 from the package index, in an environment of its own.

It is installed once, into a folder of the repository; later runs find it there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENT = "deltaglider==6.2.0"
FOLDER = Path(__file__).parents[2] / ".venv-original"


@pytest.fixture(scope="session")
def program() -> Path:
    """The original's command, installed where that has not been done before."""
    stamp, done = FOLDER / "installed", f"{REQUIREMENT}\n{sys.version}\n"
    if not stamp.exists() or stamp.read_text() != done:
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
        subprocess.run([FOLDER / "bin" / "python", "-m", "pip", "install", "--quiet", REQUIREMENT], check=True)
        stamp.write_text(done)
    return FOLDER / "bin" / "deltaglider"
