"""Whether a delta can be worth it, told from some places of the reference while the target goes by.

Unrelated input is the encoder's worst case by far: it looks for every byte and finds nothing. Here the samples of
`sketch` are taken of some places of the reference only, so that a reference need not be read, nor even be at hand. Of
a target that is covered by the reference, as many samples are known as the places are of the reference.
"""

from __future__ import annotations

import math
import zlib

from deltaglider_async.streams.sketch import POWER, Samples, choose_pattern

#: Bytes of each place that the pattern is chosen by.
_LOOKED_AT = 2048
#: Of a target that is covered throughout, so many samples must be known, and so many places must lie in what it covers.
_ENOUGH, _PLACES = 100, 12
#: How many standard deviations, and how much beside, the covered share may be larger than it looks.
_DEVIATIONS, _MARGIN = 2.5, 0.05
#: So many bytes of a target, covered to such a share, are enough to try: the encoder itself stops where it ends badly.
_PROMISING, _SHARE = 1024 * 1024, 0.75
#: Of each so many bytes of the target, so many are compressed, to know how much what is new would take.
_EVERY, _COMPRESSED = 2 * 1024 * 1024, 8 * 1024


class Places:
    """Some `places` of a reference of `size` bytes, as any number of targets are compared with them. For a thread."""

    def __init__(self, places: list[bytes], size: int) -> None:
        step = max(1, len(places) // 16)
        self.pattern = choose_pattern([place[:_LOOKED_AT] for place in places[::step]])
        self.known: set[bytes] = set()
        for place in places:
            self.known.update(Samples(self.pattern).next(place))
        self.number = len(places)
        self.size = size
        self.part = min(1.0, sum(map(len, places)) / max(1, size))
        """The share of the reference that they are."""


class Prospect:
    """A target, given in pieces, beside some places of a reference. All methods are for a thread."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._samples_of = Samples(places.pattern)
        self._seen = self._hits = 0
        self._taken, self._next = 0, 0
        self._raw = self._compressed = 1

    def add(self, chunk: bytes) -> bool:
        """Take the next bytes of the target; True when it need not go on, for the encoder should try."""
        found = self._samples_of.next(chunk)
        self._seen += len(found)
        self._hits += sum(map(self._places.known.__contains__, found))
        self._taken += len(chunk)
        if self._next < self._taken:
            piece = chunk[:_COMPRESSED]
            self._raw += len(piece)
            self._compressed += min(len(piece), len(zlib.compress(piece, 1)))
            self._next = self._taken + _EVERY
        return self._taken >= _PROMISING and self._covered() >= _SHARE

    def least_ratio(self) -> float:
        """What the delta's size will be at least, divided by the target's; 0.0 where that is not known."""
        # A target that is smaller than the reference covers a part of it, and so many of the places.
        places = self._places.number * min(1.0, self._taken / max(1, self._places.size))
        if self._seen * self._places.part < _ENOUGH or places < _PLACES:
            return 0.0
        covered = self._covered()
        likely = min(max(covered, 1 / places), 1 - 1 / places)
        most = covered + _DEVIATIONS * math.sqrt(likely * (1 - likely) / places) + _MARGIN
        return max(0.0, 1 - most) * float((self._compressed / self._raw) ** POWER)

    def _covered(self) -> float:
        return min(1.0, self._hits / max(1.0, self._seen * self._places.part))
