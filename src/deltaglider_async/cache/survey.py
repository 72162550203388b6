"""What a cache takes on the disk, without opening it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from deltaglider_async.cache.disk import ENTRY, user_cache
from deltaglider_async.cache.sealed import key_label
from deltaglider_async.settings import MIB, Settings


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in the cache that settings describe. Sizes in bytes."""

    folder: Path
    """Where it is; of a cache without a key, the folder in which each client makes one of its own."""
    lasting: bool
    """Whether it outlives a client: on disk, and with a key of the user's own."""
    limit: int
    entries: int = 0
    size: int = 0
    other_entries: int = 0
    """Those of other keys, which count for the limit."""
    other_size: int = 0


def survey(settings: Settings) -> Survey:
    """Look at the folder, which need not be there. Blocks. Raises `OSError` where it cannot be read."""
    key = settings.cache_encryption_key
    if settings.cache_backend == "memory":
        return Survey(Path(), lasting=False, limit=settings.cache_memory_size_mb * MIB)
    limit = settings.cache_disk_size_mb * MIB
    if key is None:
        return Survey(settings.cache_dir or Path(gettempdir()), lasting=False, limit=limit)
    folder = settings.cache_dir or user_cache()
    label = f".{key_label(key.get_secret_value())}{ENTRY}"
    ours: list[int] = []
    others: list[int] = []
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.endswith(ENTRY):
                try:
                    (ours if path.name.endswith(label) else others).append(path.lstat().st_size)
                except FileNotFoundError:  # another process was faster
                    continue
    return Survey(folder, True, limit, len(ours), sum(ours), len(others), sum(others))


def free_space(folder: Path) -> int:
    """Bytes free where a folder is, or will be. Blocks. Raises `OSError`."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
