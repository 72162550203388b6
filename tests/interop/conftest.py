"""The original, `deltaglider` 6.2.0 from the package index, in an environment of its own.

It is installed once, into a folder of the repository; later runs find it there.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def program() -> Path:
    """The original's command, installed where that has not been done before."""
    environment = os.environ | {"PYTHON": sys.executable}
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        # Every worker of pytest comes by here: the first installs, the others wait for it.
        fcntl.flock(folder, fcntl.LOCK_EX)
        subprocess.run([ROOT / "tools" / "bootstrap.sh", "original"], check=True, env=environment)
    finally:
        os.close(folder)
    return ROOT / ".venv-original" / "bin" / "deltaglider"
