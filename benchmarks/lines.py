"""The lines on which clients reach the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A way to the server. `rate` in bits per second, 0 without a bound; `round_trip` in seconds."""

    name: str
    rate: float = 0
    round_trip: float = 0


LOCAL = Line("loopback")
GIGABIT = Line("1 Gbit/s, 1 ms", 1e9, 0.001)
FAR = Line("100 Mbit/s, 20 ms", 1e8, 0.02)
LATE = Line("20 ms", 0, 0.02)
VERY_LATE = Line("200 ms", 0, 0.2)
