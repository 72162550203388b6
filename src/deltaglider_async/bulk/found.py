"""What sources find: files of a folder, objects of a listing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

#: The user metadata in which a file's modification time is kept, spelled as rclone does: seconds since 1970.
RECORDED_TIME = "mtime"
_SECONDS = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that a walk found, or an entry that is none that could be read."""

    path: Path
    name: str
    """Relative to the source, with `/` between its parts. A folder that could not be read ends in `/`."""
    size: int = 0
    modified_ns: int = 0
    """Nanoseconds since 1970."""
    problem: str | None = None
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A logical object that a listing found."""

    bucket: str
    key: str
    name: str
    """The key relative to the source."""
    size: int | None = None
    """None unless known to be the original's."""
    modified: datetime | None = None
    """When it was written."""
    marker: bool = False
    """An empty object whose key ends in `/`: what consoles create to show a folder."""
    archived: bool = False
    """It has to be restored before it can be read (GLACIER, DEEP_ARCHIVE)."""
    examined: bool = False
    """Whether a HEAD was made, which tells what follows."""
    stored_size: int | None = None
    """In bytes, where `size` is None because it is a delta's file's."""
    sha256: str | None = None
    """The original's, in hex, where it was recorded."""
    recorded_ns: int | None = None
    """The modification time of the file that was uploaded, where it was recorded. Nanoseconds since 1970."""


def spell_time(nanoseconds: int) -> str:
    """A moment as `RECORDED_TIME` holds it."""
    return f"{Decimal(nanoseconds).scaleb(-9):f}"


def read_time(text: str | None) -> int | None:
    """A moment that `RECORDED_TIME` holds, in nanoseconds since 1970; None for what is none."""
    return int(Decimal(text).scaleb(9)) if text and _SECONDS.fullmatch(text) else None
