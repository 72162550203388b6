"""The S3 server, what it counts, and the lines that lead to it.

MinIO counts requests by name and the bytes of bodies by itself, so that nothing stands between it and the clients
while there is no network to be imitated; and it counts the same way where there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.contenders import ROOT
from benchmarks.lines import LOCAL, Line

METRICS = "/minio/metrics/v3/api/requests"
_SAMPLE = re.compile(r"^minio_api_requests_(total|traffic_received_bytes|traffic_sent_bytes)\{(.*?)\} (\S+)$", re.M)


@dataclass(frozen=True)
class Counts:
    """What a server has had: requests by S3's name, and bytes of bodies from clients and to them."""

    requests: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0

    def since(self, before: Counts) -> Counts:
        return Counts(self.requests - before.requests, self.sent - before.sent, self.received - before.received)


def counts_of(url: str) -> Counts:
    """What MinIO at that address of its metrics has counted."""
    requests, sums = Counter[str](), Counter[str]()
    with urllib.request.urlopen(url) as answer:
        for kind, labels, value in _SAMPLE.findall(answer.read().decode()):
            if kind == "total":
                requests[re.findall(r'name="(\w+)"', labels)[0]] += int(float(value))
            else:
                sums[kind] += int(float(value))
    return Counts(requests, sums["traffic_received_bytes"], sums["traffic_sent_bytes"])


def requests_of(url: str) -> Counter[str]:
    return counts_of(url).requests


class Server:
    """An S3 server at a URL, directly or through lines. `metrics` is empty where it counts nothing."""

    def __init__(self, url: str, metrics: str, stack: ExitStack) -> None:
        self.url, self.metrics = url, metrics
        self._stack = stack
        self._lines = {LOCAL: url}
        self._relays: dict[Line, subprocess.Popen[str]] = {}

    def through(self, line: Line) -> str:
        """The URL at the client's end of a line."""
        if line not in self._lines:
            command = [sys.executable, "-m", "benchmarks.relay", "--to", self.url.rpartition(":")[2]]
            command += ["--rate", str(line.rate), "--round-trip", str(line.round_trip)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._stack.callback(_end, process)
            assert process.stdout is not None
            self._relays[line] = process
            self._lines[line] = f"http://127.0.0.1:{int(process.stdout.readline())}"
        return self._lines[line]

    def relays(self) -> dict[Line, float]:
        """Lines in use, and the seconds of CPU time that each has taken."""
        used = {line: psutil.Process(process.pid).cpu_times() for line, process in self._relays.items()}
        return {line: round(times.user + times.system, 2) for line, times in used.items()}

    def counts(self) -> Counts:
        return counts_of(self.metrics) if self.metrics else Counts()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def minio(folder: Path) -> Iterator[Server]:
    """MinIO, with its objects in a temporary folder below this one."""
    from tests.real_servers import serving

    with tempfile.TemporaryDirectory(dir=folder, prefix="server-") as work, ExitStack() as stack:
        (Path(work) / "data").mkdir()
        url = stack.enter_context(serving("minio", Path(work) / "data", MINIO_PROMETHEUS_AUTH_TYPE="public"))
        yield Server(url, url + METRICS, stack)
