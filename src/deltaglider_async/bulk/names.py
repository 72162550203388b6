"""From S3 keys to local names and back, so that no key can write outside of the folder it is meant for."""

from __future__ import annotations

import errno
import mimetypes
import os
import stat
import threading
from pathlib import Path

from deltaglider_async.errors import InvalidRequestError, LocalIOError
from deltaglider_async.streams.threads import in_thread

#: Characters that separate or mean something in local names on this platform, beside `/`.
_FOREIGN = "" if os.name == "posix" else '\\:*?"<>|'

#: Held while the system's table of content types is read, and set when it has been.
_READING, _READ = threading.Lock(), threading.Event()


def local_parts(name: str) -> tuple[str, ...]:
    """The components of the local name for an object's name relative to the source.

    Raises `InvalidRequestError` for a name that is no plain relative file name: absolute, with empty, `.` or `..`
    components, NUL, or characters that mean something else on this platform.
    """
    parts = tuple(name.split("/"))
    if reason := next((found for part in parts if (found := _objection(part))), None):
        raise InvalidRequestError(
            f"{name!r} cannot be a local file name: {reason}. Download it alone, under a name of your choice."
        )
    return parts


def _objection(part: str) -> str | None:
    if not part:
        return "it has an empty component"
    if part in (".", ".."):
        return f"it has a component {part!r}"
    if "\0" in part:
        return "it contains NUL"
    if found := next((character for character in part if character in _FOREIGN), None):
        return f"it contains {found!r}"
    return None


def object_name(relative: str) -> str:
    """An object's name for a relative local path that uses this platform's separator.

    Raises `InvalidRequestError` if it is no text: object keys are UTF-8.
    """
    try:
        relative.encode()
    except UnicodeEncodeError:
        readable = os.fsencode(relative).decode(errors="backslashreplace")
        raise InvalidRequestError(f"{readable!r} is not UTF-8, which object keys must be. Rename the file.") from None
    return relative if os.sep == "/" else relative.replace(os.sep, "/")


def prepare_place(path: Path, root: Path | None) -> None:
    """Create the folders above `path`. Blocking: call it in a thread.

    Raises `InvalidRequestError` if a folder between `root` and `path` is a symbolic link, which could lead
    anywhere; nothing is created then. Also if `path` is a link to a device or a pipe, which would be written to: other
    links are replaced. Raises `OSError` where a folder cannot be created, or is where the file goes.
    """
    if root is not None:
        folder = root
        for part in path.relative_to(root).parts[:-1]:
            folder /= part
            try:
                mode = folder.lstat().st_mode
            except FileNotFoundError:
                break
            if stat.S_ISLNK(mode):
                raise InvalidRequestError(
                    f"refused to write {path}: {folder} is a symbolic link that may lead outside of {root}"
                )
        if path.is_symlink() and path.exists() and not (path.is_file() or path.is_dir()):
            raise InvalidRequestError(
                f"refused to write {path}: it is a symbolic link to what is no file, and may lead outside of {root}"
            )
    if path.is_dir():
        raise LocalIOError(errno.EISDIR, "cannot write a file, there is a folder of that name", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)


async def guess_content_type(name: str) -> str | None:
    """By the name's suffix, as `aws s3` does."""
    if not _READ.is_set():
        await in_thread(_read_types)
    return mimetypes.guess_type(name)[0]


def _read_types() -> None:
    """Read the system's table, once, however many ask for it at first."""
    with _READING:
        if not _READ.is_set():
            mimetypes.guess_type("any")
            _READ.set()
