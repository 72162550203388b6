"""What a long piece of work has to do and has done, on the local disk, so that it can go on after any interruption.

A journal is a folder with two files. `plan` has a line of JSON for each object, written once, and gets its name only
when it is complete. `done` has a byte for each line, in the same order, which is set when the object is done and never
changes again. So nothing is ever half-written; a byte that is lost with the power costs one object's being done again.
Memory: none that grows with the plan.

The folder's name is a digest of everything that says what the work is. Its owner holds a lock on it, except on Windows,
where a folder cannot be opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, Self

from deltaglider_async.errors import InvalidRequestError, LocalIOError
from deltaglider_async.streams import owners
from deltaglider_async.streams.threads import in_thread, to_its_end

_PLAN, _PARTIAL, _DONE, _WORK = "plan", "plan.partial", "done", "work"
#: Lines that are read or written per visit to a thread.
_BATCH = 1000
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a plan."""

    key: str
    size: int | None = None
    """In bytes, where it is known."""
    refused: str | None = None
    """Why nothing can be done."""
    stored_size: int | None = None
    """Of a delta whose file's size is not known: the delta's, in bytes."""


@dataclass(slots=True)
class Totals:
    """What a plan comes to. Sizes in bytes."""

    objects: int = 0
    size: int = 0
    unknown: int = 0
    """Objects whose size is not known."""
    stored_size: int = 0
    """What is stored for those, which is what a copy of them reads."""
    already: int = 0
    """Objects for which there was nothing to do."""
    refused: int = 0

    def add(self, row: Row) -> None:
        """Count a line."""
        if row.refused is not None:
            self.refused += 1
            return
        self.objects += 1
        self.size += row.size or 0
        if row.size is None:
            self.unknown += 1
            self.stored_size += row.stored_size or 0


def journals() -> Path:
    """The folder of all journals: in the user's folder for state."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "state") / "deltaglider-async" / "journals"


class Journal:
    """The journal of one piece of work, which `work` describes in values of JSON. An async context manager.

    Raises `InvalidRequestError` if another process is at the same work, and `LocalIOError`.
    """

    def __init__(self, work: Mapping[str, Any], parent: Path | None = None) -> None:
        self._work = json.dumps(work, sort_keys=True)
        digest = hashlib.sha256(self._work.encode()).hexdigest()
        self.folder = (parent or journals()) / digest[:32]
        self._lock = -1
        self._done: BinaryIO | None = None
        self._one_at_a_time = Lock()  # Windows has no pread and pwrite: a place is sought first

    async def __aenter__(self) -> Self:
        await in_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(in_thread(self._close))

    @property
    def has_plan(self) -> bool:
        """Whether a complete plan is there: the work was begun before."""
        return self._done is not None

    async def write(self, plan: AsyncGenerator[Row, None], totals: Totals) -> None:
        """Keep a plan, and count it in `totals`. If this is interrupted, there is none."""
        partial = self.folder / _PARTIAL
        output: list[BinaryIO] = []
        try:
            await in_thread(lambda: output.append(partial.open("wb")))
            lines: list[bytes] = []
            async with aclosing(plan):
                async for row in plan:
                    totals.add(row)
                    lines.append(_line(row))
                    if len(lines) == _BATCH:
                        await in_thread(output[0].writelines, lines)
                        lines = []
            await in_thread(output[0].writelines, lines)
            await in_thread(self._complete, output[0])
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        finally:
            await to_its_end(in_thread(lambda: [file.close() for file in output]))

    async def pending(self) -> AsyncGenerator[tuple[int, Row], None]:
        """The lines that are not done, in the plan's order, with their numbers."""
        opened: list[BinaryIO] = []
        try:
            await in_thread(lambda: opened.append((self.folder / _PLAN).open("rb")))
            start = 0
            while lines := await in_thread(lambda: list(islice(opened[0], _BATCH))):
                marks = await in_thread(self._marks, start, len(lines))
                for number, line in enumerate(lines):
                    if marks[number : number + 1] in (b"", b"\0"):
                        yield start + number, Row(*json.loads(line))
                start += len(lines)
        finally:
            await to_its_end(in_thread(lambda: [file.close() for file in opened]))

    async def done(self, number: int) -> None:
        """The object of this line is done."""
        await in_thread(self._mark, number)

    async def count_done(self) -> int:
        """How many objects are done."""

        def count() -> int:
            marks = 0
            with (self.folder / _DONE).open("rb") as done:
                while block := done.read(1 << 20):
                    marks += block.count(b"d")
            return marks

        return await in_thread(count)

    async def forget(self) -> None:
        """Remove the plan: the work is over, or begins anew."""
        await in_thread(self._forget)

    def _open(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if sys.platform != "win32":
                lock = os.open(self.folder, os.O_RDONLY | _FOLDER)
                if not owners.hold(self.folder, lock):
                    os.close(lock)
                    raise InvalidRequestError(
                        f"this is being done by another process now. Wait for it, or end it. (Its journal: "
                        f"{self.folder})"
                    )
                self._lock = lock
            (self.folder / _PARTIAL).unlink(missing_ok=True)
            if (self.folder / _PLAN).exists():
                self._open_done()
        except OSError as error:
            self._close()
            raise _unwritable(self.folder, error) from error

    def _open_done(self) -> None:
        path = self.folder / _DONE
        path.touch(mode=0o600)
        self._done = path.open("r+b", buffering=0)

    def _marks(self, start: int, count: int) -> bytes:
        assert self._done is not None
        with self._one_at_a_time:
            self._done.seek(start)
            return self._done.read(count)

    def _mark(self, number: int) -> None:
        assert self._done is not None
        with self._one_at_a_time:
            self._done.seek(number)
            self._done.write(b"d")

    def _complete(self, plan: BinaryIO) -> None:
        plan.flush()
        os.fsync(plan.fileno())
        plan.close()  # Windows renames no open file
        (self.folder / _DONE).unlink(missing_ok=True)
        (self.folder / _WORK).write_text(self._work + "\n")
        (self.folder / _PARTIAL).replace(self.folder / _PLAN)
        self._open_done()

    def _forget(self) -> None:
        self._close_done()
        for name in (_PLAN, _DONE, _WORK):  # in this order: without a plan, nothing counts as done
            (self.folder / name).unlink(missing_ok=True)

    def _close(self) -> None:
        if not self._close_done():
            with suppress(OSError):  # not empty, or gone
                (self.folder / _PARTIAL).unlink(missing_ok=True)
                self.folder.rmdir()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _close_done(self) -> bool:
        if self._done is None:
            return False
        self._done.close()
        self._done = None
        return True


def _line(row: Row) -> bytes:
    values = list(asdict(row).values())
    while values[-1] is None:
        values.pop()
    return json.dumps(values).encode() + b"\n"


def _unwritable(folder: Path, error: OSError) -> LocalIOError:
    return LocalIOError(
        error.errno, f"cannot keep a journal: {error.strerror}. Set XDG_STATE_HOME to a folder for it", str(folder)
    )
