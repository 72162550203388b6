"""The files that are put: real wheels, fetched once, and random ones that are the same on every machine."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000

BOTOCORE = [f"botocore==1.35.{number}" for number in range(90, 100)]
PLAYWRIGHT = [f"playwright=={version}" for version in ("1.47.0", "1.49.0", "1.49.1", "1.50.0")]


@dataclass(frozen=True)
class Files:
    """Where files are kept between runs. `quick`: smaller ones."""

    folder: Path
    quick: bool

    def wheels(self) -> Path:
        """A folder of consecutive wheels, renamed so that every contender takes them for archives."""
        wanted = BOTOCORE[:4] if self.quick else BOTOCORE
        folder = self.folder / f"wheels-{len(wanted)}"
        folder.mkdir(parents=True, exist_ok=True)
        for requirement in wanted:
            self._named(requirement, folder / f"{requirement.replace('==', '-')}.zip")
        return folder

    def playwright(self, version: str) -> Path:
        """A wheel of 38 to 45 MB, mostly one compressed program."""
        path = self.folder / f"playwright-{version}.zip"
        self._named(f"playwright=={version}", path)
        if not self.quick:
            return path
        part = self.folder / f"part-{version}.zip"
        if not part.exists():
            with path.open("rb") as source:
                source.seek(8 * MB)
                part.write_bytes(source.read(8 * MB))
        return part

    def wheel(self, requirement: str) -> Path:
        """Any wheel, under its own name."""
        return self._fetched(requirement)

    def _named(self, requirement: str, path: Path) -> None:
        if not path.exists():
            os.link(self._fetched(requirement), path)

    def _fetched(self, requirement: str) -> Path:
        """A wheel from the Python index, the same one on every machine."""
        folder = self.folder / "downloads"
        name = requirement.replace("==", "-")
        if found := sorted(folder.glob(f"{name}-*.whl")):
            return found[0]
        print(f"fetching {requirement}", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "-q"]
        command += ["--no-deps", "--only-binary=:all:", "--platform", "manylinux1_x86_64", "--platform", "any"]
        command += ["--platform", "manylinux2014_x86_64", "--python-version", "3.11"]
        partly = folder / "partly"
        subprocess.run([*command, "-d", str(partly), requirement], check=True, stdin=subprocess.DEVNULL)
        (wheel,) = partly.glob(f"{name}-*.whl")
        return wheel.rename(folder / wheel.name)

    def random(self, name: str, size: int, seed: int) -> Path:
        """Incompressible bytes."""
        path = self.folder / name
        if not path.exists() or path.stat().st_size != size:
            source = random.Random(seed)
            with path.open("wb") as file:
                for start in range(0, size, MB):
                    file.write(source.randbytes(min(MB, size - start)))
        return path

    def changed(self, base: Path, bytes_changed: int) -> Path:
        """A copy of a file in which some bytes are others, at random places."""
        path = base.with_name(f"{base.stem}-changed.zip")
        if not path.exists() or path.stat().st_size != base.stat().st_size:
            shutil.copyfile(base, path)
            places = random.Random(1)
            with path.open("r+b") as file:
                for _ in range(bytes_changed):
                    place = places.randrange(base.stat().st_size)
                    file.seek(place)
                    (old,) = file.read(1)
                    file.seek(place)
                    file.write(bytes([old ^ places.randrange(1, 256)]))
        return path

    def inserted(self, base: Path, size: int) -> Path:
        """A file with other random bytes before its own."""
        path = base.with_name(f"{base.stem}-inserted.zip")
        if not path.exists() or path.stat().st_size != base.stat().st_size + size:
            source = random.Random(2)
            with path.open("wb") as file, base.open("rb") as rest:
                for _ in range(0, size, MB):
                    file.write(source.randbytes(MB))
                shutil.copyfileobj(rest, file, MB)
        return path

    def small(self, count: int, size: int) -> Path:
        """A folder of small text files."""
        folder = self.folder / f"small-{count}"
        folder.mkdir(parents=True, exist_ok=True)
        source = random.Random(3)
        for number in range(count):
            path = folder / f"{number:05}.txt"
            text = source.randbytes(size // 2).hex()
            if not path.exists():
                path.write_text(text)
        return folder
