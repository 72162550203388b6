"""A process that makes windows beside this one, whose threads all share one core. Both ends of what they say.

It is asked over a pair of sockets, a block at a time, and ends when the other end is closed: also where the program
that started it was killed. It has nothing but an index of the references that it was lately asked for; each is handed
over as a descriptor with each block, and mapped as long as that takes.

It is a process of its own and no child of a fork, which may block for good where there are threads, and is started
without the folders of installed packages: it imports little, and what it does must need none.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from deltaglider_async.codec import Reference
from deltaglider_async.codec.matching import Content, window
from deltaglider_async.codec.samples import Index, Mapped
from deltaglider_async.streams.stops import StoppedError

#: A question: the index's number, bytes of the reference, of its path and of the block, where the block is in its
#: target, and the shift; the path and the block follow. An answer: what it is, the shift, and how many bytes follow.
_QUESTION, _ANSWER = struct.Struct("<QQIIQq"), struct.Struct("<BqI")
#: What an answer is: a window, none, or why there can be none, with what an encoder does not need or by a mistake here.
_MADE, _LEFT, _CANNOT, _MISTAKEN = range(4)
#: Seconds after which an answer is not waited for any more. One takes a second at most, and some where all is slow.
_STALLED = 600.0
#: Indexes that are kept.
_MOST_INDEXES = 2
_START = "import sys; sys.path.append(sys.argv[1]); from deltaglider_async.codec.worker import work; work()"


class WorkerFailedError(Exception):
    """The process could not be started, has ended, or does nothing."""


class Worker:
    """One such process, started when it is made. To be ended. All methods are for a thread, `stop.set` for any."""

    def __init__(self) -> None:
        """Raises `WorkerFailedError`."""
        python = _python()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_STALLED)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603, the interpreter that runs this, and nothing from outside
                    [python, "-I", "-S", "-B", "-c", _START, str(Path(__file__).parents[2])],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the program that started it
                )
            except OSError as error:
                self._socket.close()
                raise WorkerFailedError(f"cannot start {python}: {error.strerror}") from error
        self.pid = self._process.pid
        #: Set when a window that is being made is not wanted any more. The process then ends.
        self.stop: threading.Event = _Stop(self._socket)

    def window(
        self, reference: Reference, index: Index, block: Content, place: int, shift: int
    ) -> tuple[bytes | None, int]:
        """What `matching.window` says. Raises `WorkerFailedError` and `StoppedError` where the process has ended or
        does nothing, `OSError` where it cannot look into the reference.
        """
        path = os.fsencode(reference.path)
        question = _QUESTION.pack(index.number, reference.size, len(path), len(block), place, shift)
        try:
            socket.send_fds(self._socket, [question], [] if reference.fd is None else [reference.fd])
            self._socket.sendall(path)
            self._socket.sendall(block)
            kind, shift, length = _ANSWER.unpack(_received(self._socket, _ANSWER.size))
            answer = bytes(_received(self._socket, length))
        except (OSError, EOFError) as error:
            if self.stop.is_set():
                raise StoppedError from None
            what = "does not answer" if isinstance(error, TimeoutError) else "has ended"
            raise WorkerFailedError(f"process {self.pid} {what}") from error
        if kind == _CANNOT:
            raise OSError(answer.decode())
        if kind == _MISTAKEN:
            raise RuntimeError(f"a window could not be made: {answer.decode()}")
        return answer if kind == _MADE else None, shift

    def end(self) -> None:
        """End the process, and wait for that. It has nothing to lose."""
        self._process.kill()
        self._process.wait()
        self._socket.close()


class _Stop(threading.Event):
    """Ends the wait for an answer."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection

    def set(self) -> None:
        super().set()
        with suppress(OSError):  # it is closed already
            self._connection.shutdown(socket.SHUT_RDWR)


def _python() -> str:
    """The interpreter. Raises `WorkerFailedError` where that is another program, which Python is a part of."""
    if not Path(sys.executable or "").name.startswith(("python", "pypy")) or not hasattr(socket, "send_fds"):
        raise WorkerFailedError(f"cannot start another {sys.executable or 'interpreter'}")
    return sys.executable


@dataclass(frozen=True, slots=True)
class _HandedOver:
    """A reference as a process gets it."""

    size: int
    path: str
    fd: int | None


def work() -> None:
    """What the process does: answer one question after the other, until nobody asks any more."""
    with socket.socket(fileno=os.dup(0)) as connection, suppress(OSError, EOFError):
        indexes = OrderedDict[int, Index]()
        while True:
            kind, shift, answer = _answered(connection, indexes)
            connection.sendall(_ANSWER.pack(kind, shift, len(answer)))
            connection.sendall(answer)


def _answered(connection: socket.socket, indexes: OrderedDict[int, Index]) -> tuple[int, int, bytes]:
    question, descriptors, _, _ = socket.recv_fds(connection, _QUESTION.size, 1)
    try:
        question += _received(connection, _QUESTION.size - len(question))
        number, size, length, block_length, place, shift = _QUESTION.unpack(question)
        path = os.fsdecode(bytes(_received(connection, length)))
        block = _received(connection, block_length)
        index = indexes.setdefault(number, Index())
        indexes.move_to_end(number)
        while len(indexes) > _MOST_INDEXES:
            indexes.popitem(last=False)
        try:
            with closing(Mapped(_HandedOver(size, path, descriptors[0] if descriptors else None))) as mapped:
                made, shift = window(mapped, index, block, place, shift, threading.Event())
        except (OSError, ValueError, MemoryError) as error:
            return _CANNOT, shift, f"{type(error).__name__}: {error}".encode()
        except Exception as error:
            return _MISTAKEN, shift, f"{type(error).__name__}: {error}".encode()
        return (_LEFT, shift, b"") if made is None else (_MADE, shift, made)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _received(connection: socket.socket, length: int) -> bytearray:
    """So many bytes. Raises `EOFError` where the other end was closed before."""
    data = bytearray(length)
    with memoryview(data) as rest:
        position = 0
        while position < length:
            with rest[position:] as free:
                got = connection.recv_into(free)
            if not got:
                raise EOFError
            position += got
    return data
