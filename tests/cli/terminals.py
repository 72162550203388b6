"""A terminal of its own for a program, and the screen that is painted on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyte
from tests.cli.conftest import DG

TOTAL = re.compile(r"^(\d+)/(\d+)\+?( files)?,? .*[━─]")


#: A picture begins with the wiping off of the one before it.
_NEXT_PICTURE = re.compile(rb"(?=\r\x1b\[2K)")


class Terminal:
    """A program on a terminal of its own, and the screen that it paints."""

    def __init__(self, process: subprocess.Popen[bytes], line: int, columns: int, rows: int) -> None:
        self.process = process
        self.screen = pyte.HistoryScreen(columns, rows, history=20_000)
        self.pictures: list[list[str]] = []
        self.written = b""
        self._line = line
        self._stream = pyte.ByteStream(self.screen)

    def watch(self, until: Callable[[list[str]], bool] = lambda picture: False, seconds: float = 30) -> None:
        """Follow the screen until a picture is as wanted, or the program has closed its terminal."""
        end = time.monotonic() + seconds
        while select.select([self._line], [], [], max(0, end - time.monotonic()))[0]:
            try:
                chunk = os.read(self._line, 65536)
            except OSError:  # Linux says so when the other side is closed
                return
            if not chunk:
                return
            self.written += chunk
            self._stream.feed(chunk)
            self.pictures.append([row.rstrip() for row in self.screen.display])
            if until(self.pictures[-1]):
                return
        raise AssertionError(f"not seen within {seconds} s:\n" + "\n".join(self.screen.display))

    def read(self, seconds: float = 30) -> None:
        """Keep what is written until the program has closed its terminal, and paint nothing."""
        end = time.monotonic() + seconds
        while select.select([self._line], [], [], max(0, end - time.monotonic()))[0]:
            try:
                self.written += os.read(self._line, 65536)
            except OSError:
                return
        raise AssertionError(f"not over within {seconds} s: {self.written[-2000:]!r}")

    def paint(self) -> Iterator[list[str]]:
        """The pictures of all that was read: what is to be seen before each of them is wiped off, and at the end."""
        for part in _NEXT_PICTURE.split(self.written):
            self._stream.feed(part)
            yield [row.rstrip() for row in self.screen.display]

    def resize(self, columns: int) -> None:
        """Another width, as when a window is drawn smaller."""
        self.screen.resize(columns=columns)
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", self.screen.lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    @property
    def lines(self) -> list[str]:
        """All that was printed, what scrolled out of sight included."""
        above = ["".join(row[column].data for column in sorted(row)).rstrip() for row in self.screen.history.top]
        return [line for line in [*above, *(row.rstrip() for row in self.screen.display)] if line]


@contextmanager
def terminal(
    *arguments: str, program: Sequence[str] = DG, columns: int = 80, rows: int = 24, term: str = "xterm-256color"
) -> Iterator[Terminal]:
    """Run a program, `dg` if no other, on a terminal of that size. It is ended at the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    settings = {**os.environ, "TERM": term, "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [*program, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=settings, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours, columns, rows)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
