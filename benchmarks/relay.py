"""A network between clients and a server on one machine: a rate and a delay, in both directions.

    python -m benchmarks.relay --to PORT --rate BITS_PER_SECOND --round-trip SECONDS

Prints the port of 127.0.0.1 at which it listens, and ends when its standard input does. All connections share the rate,
as on one line. The kernel's own means (netem) would cost less and need root, network namespaces and a module that many
machines lack. The price of doing without is CPU time, which docs/benchmarks.md tells. A connection's handshake is one
more round trip before its first bytes. TCP's slow start is not imitated.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import selectors
import signal
import socket
import sys
import time
from collections import deque


class Direction:
    """One direction of the line. `rate` is in bytes per second, 0 without a bound; `delay` is one way, in seconds."""

    def __init__(self, rate: float, delay: float) -> None:
        self.rate, self.delay = rate, delay
        self._free = 0.0
        # About a millisecond's worth: what is delivered at once arrives late by as much.
        self.piece = min(1 << 18, max(1 << 12, int(rate / 1000))) if rate else 1 << 18
        self.window = max(1 << 20, int(4 * rate * delay))

    def due(self, size: int) -> float:
        """When the last of so many bytes, sent now, arrives."""
        self._free = max(self._free, time.monotonic()) + (size / self.rate if self.rate else 0)
        return self._free + self.delay


class End(asyncio.BufferedProtocol):
    """One end of a connection. What it reads is given to the other end when it is due there."""

    def __init__(self, direction: Direction, late: float) -> None:
        self.direction, self.late = direction, late
        self.other: End
        self.transport: asyncio.Transport
        self._buffer = bytearray(direction.piece)
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(1 << 18)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._send(bytes(memoryview(self._buffer)[:nbytes]))

    def _send(self, data: bytes) -> None:
        due = self.direction.due(len(data)) + self.late
        self.late = 0.0
        self._waiting.append((due, data))
        self._held += len(data)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_at(due, self._deliver)
        self._adjust()

    def _deliver(self) -> None:
        """Give the other end what is due."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, data = self._waiting.popleft()
            self._held -= len(data)
            if not self.other.transport.is_closing():
                self.other.transport.write(data)
        if self._waiting:
            asyncio.get_running_loop().call_at(self._waiting[0][0], self._deliver)
        self._adjust()

    def _adjust(self) -> None:
        """Read no more than fits on the line, and into the other end."""
        if self.transport.is_closing():
            return
        if self._blocked or self._held > self.direction.window:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.other._blocked = True
        self.other._adjust()

    def resume_writing(self) -> None:
        self.other._blocked = False
        self.other._adjust()

    def connection_lost(self, exc: Exception | None) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(max(self._waiting[-1][0] if self._waiting else 0, loop.time()) + 0.001, self._close_other)

    def _close_other(self) -> None:
        if hasattr(self.other, "transport"):
            self.other.transport.close()


async def relay(to: int, rate: float, round_trip: float) -> None:
    """Serve until standard input ends. `rate` is in bytes per second, `round_trip` in seconds."""
    up, down = Direction(rate, round_trip / 2), Direction(rate, round_trip / 2)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def connect(client: End) -> None:
        try:
            await loop.create_connection(lambda: client.other, "127.0.0.1", to)
        except OSError:
            client.transport.abort()
            return
        if client.transport.is_closing():
            client.other.transport.close()
        client.transport.resume_reading()

    class Client(End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()
            self.other = End(down, 0.0)
            self.other.other = self
            task = loop.create_task(connect(self))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await loop.create_server(functools.partial(Client, up, round_trip), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0, help="bits per second")
    parser.add_argument("--round-trip", type=float, default=0, help="seconds")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with who started it
    gc.disable()
    # select() waits for microseconds, epoll for whole milliseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(relay(options.to, options.rate / 8, options.round_trip))


if __name__ == "__main__":
    main()
