"""Where the plain bytes of a leased reference are: in a memfd, or in a private file where there is none.

Every method blocks and belongs into a thread. What has to be closed is held by the object, never returned,
so that `close` is right at any moment, also after an `open` that nobody waited for.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress

from deltaglider_async.cache.own_folder import OwnFolder, sweep
from deltaglider_async.errors import LocalIOError

#: From Linux 5.1 on (`linux/fcntl.h`); Python does not name it. `F_SEAL_WRITE` also takes back what is mapped for
#: writing already, which nothing here is. For that it waits until nobody reads a page, or fails, and a reference is
#: read while it arrives.
_F_SEAL_FUTURE_WRITE = 0x10
#: Name of a plain reference where it must have one.
_REFERENCE = "reference"


class Plain(ABC):
    """A file that is written once, from start to end, and then read at any position."""

    fd: int | None = None
    """The descriptor that xdelta3 has to inherit, if any."""

    path: str = ""
    """The name under which xdelta3 opens it."""

    def __init__(self) -> None:
        self._descriptor = -1

    @abstractmethod
    def open(self) -> None:
        """Create the file, empty. Raises `LocalIOError`."""

    def begin(self) -> None:
        """Create the file, or write it once more from its start, beneath those who read it. Raises `LocalIOError`."""
        if self._descriptor < 0:
            self.open()
        else:
            os.lseek(self._descriptor, 0, os.SEEK_SET)

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append. Raises `LocalIOError`, for instance where memory or disk are full."""
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise _no_room(error) from error

    def freeze(self) -> None:  # noqa: B027 - only a memfd can
        """Refuse every later change, where the system can."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on; fewer only at the end. The position of others does not matter."""
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        """Free it. May be called at any time, once no other thread uses it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """What a loop that ended has left open goes with its object."""
        self.close()


class MemoryFile(Plain):
    """A memfd: no name, no disk, gone with its last descriptor."""

    def open(self) -> None:
        try:
            self._descriptor = os.memfd_create("reference", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            raise _no_room(error) from error
        self.fd = self._descriptor
        self.path = f"/proc/self/fd/{self._descriptor}"

    def freeze(self) -> None:
        import fcntl  # here, because Windows has none and the package must import there

        size = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, size | _F_SEAL_FUTURE_WRITE)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # Before Linux 5.1. What is being read keeps its size at least, and nobody writes anyway.
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, size)
            with suppress(OSError):
                fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


class NamedFile(Plain):
    """A 0600 file in a 0700 folder of its own. A name, because opening `/dev/fd/N` on macOS shares the offset."""

    _folder: OwnFolder | None = None

    def open(self) -> None:
        try:
            # Whoever was killed left its reference here in plain: it goes before another one comes.
            sweep(None, _REFERENCE.__eq__)
            self._folder = OwnFolder()
            self.path = str(self._folder.path / _REFERENCE)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _no_room(error) from error

    def close(self) -> None:
        super().close()
        if self._folder is not None:
            self._folder.remove()


def default_plain() -> type[Plain]:
    """What this system has."""
    return MemoryFile if hasattr(os, "memfd_create") else NamedFile


def _no_room(error: OSError) -> LocalIOError:
    message = f"a reference could not be held for use: {error.strerror}. Free memory, or lower DG_MEMORY_MB"
    return LocalIOError(error.errno, message)
