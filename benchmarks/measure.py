"""What a command takes: time, CPU time, and memory of its Python process and of all that it starts."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROC = Path("/proc")
LINUX = (_PROC / "self" / "smaps_rollup").exists()


def cpu(who: int) -> float:
    """User and system time, in seconds, of this process or of its children that have ended (`resource.RUSAGE_...`)."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Taken:
    """Seconds; bytes. `cpu` is user and system time of the command and its children; `python` the peak resident memory
    of its first process; `tree` the peak of all its processes' memory, each shared page counted once."""

    seconds: float
    cpu: float
    python: int
    tree: int
    output: str


class CommandError(Exception):
    """A command failed."""


def run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Taken:
    """Run a command to its end. Raises `CommandError` with what it said if it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        watcher = _Watcher(process.pid)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process)
            raise
        finally:
            watcher.stop()
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode:
        said = "\n".join(texts).strip()[-2000:]
        raise CommandError(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, watcher.python, watcher.tree, texts[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started."""
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.send_signal(signal.SIGKILL)
    process.kill()
    process.wait()


class _Watcher(threading.Thread):
    """Looks at a process tree's memory again and again, and spends at most a twentieth of a core on it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.python = self.tree = 0
        self._pid = pid
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        pause = 0.02
        while not self._done.wait(pause):
            begun = time.thread_time()
            with suppress(OSError, psutil.Error):
                first, tree = _memory(self._pid)
                self.python, self.tree = max(self.python, first), max(self.tree, tree)
            pause = max(0.02, 20 * (time.thread_time() - begun))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _memory(pid: int) -> tuple[int, int]:
    """Peak resident bytes of a process until now, and bytes of its whole tree now."""
    if not LINUX:
        process = psutil.Process(pid)
        first: int = process.memory_info().rss
        return first, first + sum(child.memory_info().rss for child in process.children(recursive=True))
    peak = _field(_PROC / str(pid) / "status", "VmHWM")
    total, files = 0, {}
    for member in _tree(pid):
        with suppress(OSError):
            total += _field(_PROC / str(member) / "smaps_rollup", "Pss")
            # References are held in memfds, which are in no process's resident memory as long as they are only read.
            for descriptor in (_PROC / str(member) / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()).startswith("/memfd:"):
                        found = descriptor.stat()
                        files[found.st_ino] = found.st_blocks * 512
    return peak, total + sum(files.values())


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _tree(int(child))


def _field(path: Path, name: str) -> int:
    """Bytes of a line such as `Pss:   12 kB`; 0 where the process has no memory any more."""
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.M)
    return int(found[1]) * 1024 if found else 0
