"""Sizes, times and names for people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from deltaglider_async.bulk import actions

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Action, Copy, Refusal
    from deltaglider_async.bulk.events import Summary

DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float) -> str:
    """Bytes in decimal units with three figures: `512 B`, `13.3 MB`, `133 MB`."""
    for unit in DECIMAL[:-1]:
        if count < 999.5:
            return f"{count:.{1 if unit != 'B' and count < 99.95 else 0}f} {unit}"
        count /= 1000
    return f"{count:.1f} {DECIMAL[-1]}"


def aws_size(count: int) -> str:
    """Bytes in binary units, as `aws s3 ls --human-readable` writes them: `1 Byte`, `10 Bytes`, `1.0 KiB`."""
    if count == 1:
        return "1 Byte"
    if count < 1024:
        return f"{count} Bytes"
    value = float(count)
    for unit in _BINARY:
        value /= 1024
        if round(value) < 1024:
            return f"{value:.1f} {unit}"
    return f"{value:.1f} {_BINARY[-1]}"


def duration(seconds: float) -> str:
    """`0:04`, `12:30`, `3h05m`, `5d`; at most six characters."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24}d" if hours < 24_000 else ">999d"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}:{rest:02}"


def count(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Without control characters, which in a name could move the cursor or fake a line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """At most `width` cells wide, without the beginning if need be: the ends of names tell them apart."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    while text and cell_len(ellipsis) + cell_len(text) > width:
        text = text[1:]
    return ellipsis + text


def pad(text: str, width: int) -> str:
    """Filled up with blanks to `width` cells."""
    from rich.cells import cell_len

    return text + " " * (width - cell_len(text))


def local(path: Path) -> str:
    """A path relative to the working folder, as `aws s3` shows it: `./a`, `folder/a`, `../a`."""
    try:
        return os.path.join(os.path.relpath(path.parent), path.name)  # noqa: PTH118, pathlib would drop the `./`
    except ValueError:  # another drive
        return str(path)


def verb(action: Action) -> str:
    """What is done: `upload`, `download`, `copy`, `compact`, `move`, `delete`, `verify`."""
    match action:
        case actions.Refusal():
            return action.what
        case actions.DeleteFile():
            return "delete"
        case actions.Upload() | actions.Download() | actions.Copy() if action.options.move:
            return "move"
        case actions.Copy() if _stays(action):
            return "compact"
        case _:
            return type(action).__name__.lower()


def describe(action: Action) -> str:
    """From where to where: `./a to s3://bucket/a`. As the names are: see `shown`."""
    match action:
        case actions.Upload():
            return f"{local(action.path)} to s3://{action.bucket}/{action.key}"
        case actions.Download():
            return f"s3://{action.bucket}/{action.key} to {local(action.path)}"
        case actions.Copy() if not _stays(action):
            return f"s3://{action.bucket}/{action.key} to s3://{action.to_bucket}/{action.to_key}"
        case actions.Delete() | actions.Verify() | actions.Copy():
            return f"s3://{action.bucket}/{action.key}"
        case actions.DeleteFile():
            return local(action.path)
        case actions.Refusal():
            return action.source


def _stays(copy: Copy) -> bool:
    """Whether an object is written at its own place."""
    return (copy.bucket, copy.key) == (copy.to_bucket, copy.to_key)


def skipped(action: Refusal) -> str:
    """`upload skipped: ./a: it is no regular file`. As the names are: see `shown`."""
    return f"{verb(action)} skipped: {describe(action)}: {action.reason}"


def shown(line: str, stream: TextIO) -> str:
    """A line as it may be printed: a terminal gets no control characters, a program gets names as they are."""
    return printable(line) if stream.isatty() else line


def name(action: Action) -> str:
    """The one end of an action that tells it from the others: the local file, or the source."""
    match action:
        case actions.Upload() | actions.Download() | actions.DeleteFile():
            return printable(local(action.path))
        case actions.Copy() | actions.Delete() | actions.Verify():
            return printable(f"s3://{action.bucket}/{action.key}")
        case actions.Refusal():
            return printable(action.source)


def outcome(action: Action, summary: Summary) -> str:
    """` (13.3 MB -> 1.9 MB, 85% saved)`, ` (13.3 MB)`, or nothing for a delete."""
    if isinstance(action, actions.Delete | actions.DeleteFile):
        return ""
    whole = size(summary.original_size)
    if summary.stored_size is None or summary.saved * 100 < summary.original_size or not summary.original_size:
        return f" ({whole})"
    saved = 100 * summary.saved // summary.original_size
    return f" ({whole} -> {size(summary.stored_size)}, {saved}% saved)"
