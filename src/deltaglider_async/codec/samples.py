"""Where a reference has its samples: short strings by which a target finds its way back into it.

Such places are chosen as in `streams.sketch`: a byte that comes once in a few hundred, and those after it.
"""

from __future__ import annotations

import mmap
import os
import re
import threading
from collections import Counter
from itertools import count, islice
from typing import TYPE_CHECKING

from deltaglider_async.codec import Reference
from deltaglider_async.streams.stops import until

if TYPE_CHECKING:
    from deltaglider_async.codec.matchers import Workers

#: Bytes of a sample.
SAMPLE = 16
#: Samples of a reference that are wanted, about; with their positions they take some 130 bytes each.
_MOST = 1 << 17
#: A byte that begins samples comes once in so many, as any does in what is compressed.
_DISTANCE = 256
#: Places of the reference that are looked at to choose such bytes, and bytes of each.
_PLACES, _PLACE = 64, 4096
#: Bytes of the reference that are indexed in one go, and samples that there may be in any.
_PIECE, _FEW = 4 * 1024 * 1024, 256

Samples = tuple[tuple[re.Pattern[bytes], dict[bytes, int]], ...]
"""For each kind of sample how to find it, and where the reference has it."""

_numbers = count()


class Index:
    """Where a reference has its samples. Made when first asked for, by one thread; others wait for it.

    With `workers`, windows may be made in them, too, each of which then has an index of its own.
    """

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers = workers
        self.number = next(_numbers)
        self._lock = threading.Lock()
        self._samples: Samples | None = None

    def samples(self, reference: Mapped, stop: threading.Event) -> Samples:
        """The samples of this reference, whose index it is. Raises `StoppedError` soon after `stop` is set."""
        with self._lock:
            if self._samples is None:
                self._samples = tuple((kind, _positions(kind, reference, stop)) for kind in _kinds(reference))
            return self._samples


class Mapped:
    """The bytes of a reference, of any place, without reading it whole. To be closed."""

    def __init__(self, reference: Reference) -> None:
        descriptor = os.open(reference.path, os.O_RDONLY) if reference.fd is None else reference.fd
        try:
            self.bytes = mmap.mmap(descriptor, reference.size, access=mmap.ACCESS_READ)
        finally:
            if reference.fd is None:
                os.close(descriptor)
        self.size = reference.size

    def let_go(self) -> None:
        """Pages that were read no longer count as memory of this process. They stay where they are."""
        if hasattr(self.bytes, "madvise"):
            self.bytes.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        self.bytes.close()


def _kinds(reference: Mapped) -> list[re.Pattern[bytes]]:
    """Samples that begin with a byte that comes everywhere, and with one that comes where the first does not.

    Where there would be too many, the byte after it decides, too.
    """
    step = max(1, reference.size // _PLACES)
    places = [reference.bytes[start : start + _PLACE] for start in range(0, reference.size, step)]
    counts = [Counter(place) for place in places]
    enough = _PLACE / _DISTANCE
    first = max(range(256), key=lambda byte: sum(min(count[byte], enough) for count in counts))
    thin = [count for count in counts if count[first] < enough / 4] or counts
    rest = (byte for byte in range(256) if byte != first)
    second = max(rest, key=lambda byte: sum(min(count[byte], enough) for count in thin))
    return [_kind(byte, places, reference.size) for byte in (first, second)]


def _kind(byte: int, places: list[bytes], size: int) -> re.Pattern[bytes]:
    """Samples that begin with a byte, half of those that are wanted, as far as the places can tell."""
    find = re.compile(b"\\x%02x(?s:(.))" % byte).findall
    after = Counter(b"".join(each for place in places for each in find(place)))
    wanted = sum(map(len, places)) / size * _MOST / 2
    highest, found = -1, 0
    while highest < 255 and found < wanted:
        highest += 1
        found += after[highest]
    return re.compile(b"\\x%02x[\\x00-\\x%02x](?s:.{%d})" % (byte, max(0, highest), SAMPLE - 2))


def _positions(kind: re.Pattern[bytes], reference: Mapped, stop: threading.Event) -> dict[bytes, int]:
    positions: dict[bytes, int] = {}
    for start in until(stop, range(0, reference.size, _PIECE)):
        piece = reference.bytes[start : start + _PIECE + SAMPLE]
        # Twice what is wanted, where the places that were looked at are not like the rest.
        most = max(_FEW, _MOST * len(piece) // reference.size)
        for found in islice(kind.finditer(piece), most):
            # The first of several: what repeats goes on from there.
            positions.setdefault(found.group(), start + found.start())
        reference.let_go()
    return positions
