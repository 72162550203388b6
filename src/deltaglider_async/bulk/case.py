"""Downloads whose names differ by case alone: on file systems that do not tell case apart, one replaces the other."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from anyio.to_thread import run_sync

from deltaglider_async.bulk.actions import Action, Download
from deltaglider_async.errors import LocalIOError

Conflict = Literal["skip", "warn", "error"]


async def checked(
    plan: AsyncGenerator[Action, None], conflict: Conflict, tell: Callable[[str], None]
) -> AsyncGenerator[Action, None]:
    """The plan as `aws s3 --case-conflict` has it: conflicts are told, told and left out, or raised as `LocalIOError`.

    A conflict is with another download of the plan, or with a file that is there. Memory: the name of each download.
    """
    planned: set[str] = set()
    async with aclosing(plan):
        async for action in plan:
            if isinstance(action, Download):
                name = str(action.path).lower()
                if name in planned or await run_sync(_is_there_otherwise, action.path):
                    what = f"s3://{action.bucket}/{action.key} to {action.path}: there is a file, or a download, whose"
                    if conflict == "error":
                        raise LocalIOError(errno.EEXIST, f"cannot download {what} name differs by case alone")
                    if conflict == "skip":
                        tell(f"skipped {what} name differs by case alone")
                        continue
                    tell(f"downloading {what} name differs by case alone; one may replace the other")
                planned.add(name)
            yield action


def _is_there_otherwise(path: Path) -> bool:
    """Whether the file system finds a file under this name that has another one."""
    return path.exists() and path.name not in os.listdir(path.parent)  # noqa: PTH208, names are what is wanted
