"""How much of a file another one has, found out in one pass over each, without making a delta.

The content chooses what is compared: a pattern and what follows it, 32 bytes together, are a sample. Where something
was inserted or removed, the samples after it are the same as before. What the target has between samples that the
reference lacks is what a delta would have to carry. The pattern is chosen by looking at some places of both: one that
occurs once in some 256 bytes, everywhere. Mostly that is a single byte; in data of few byte values it is longer.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass

#: Bytes of a sample, its pattern among them. xdelta3 finds copies from about this length on.
_SAMPLE = 32
#: A sample is wanted in so many bytes; a pattern that occurs four times as often is too frequent.
_DISTANCE, _TOO_FREQUENT = 256, 4
#: Samples of a stream that are kept; of more, a half, a quarter, ... by their hash.
_MOST = 1 << 16
#: A pattern is chosen by looking at so many places of a file, of so many bytes.
PLACES, PLACE = 16, 16 * 1024
_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
#: With fewer samples, nothing is known.
_THIN = 24
#: Of each so many bytes of the target, so many are compressed, to know how much what is new would take.
_EVERY, _COMPRESSED = 1 << 19, 8 * 1024
#: xdelta3 compresses what is new less well than zlib, by this power of the ratio (measured).
POWER = 0.9
#: A run of missing samples begins and ends somewhere between two samples: it is so much shorter.
_EDGES = 0.6


@dataclass(frozen=True, slots=True)
class Likeness:
    """What the comparison of a target with a reference says."""

    missing: float
    """Share of the target that the reference lacks, 0.0 to 1.0."""
    literals: float
    """What compression leaves of the target alone: 1.0 of random bytes."""
    samples: int
    """How many samples of the target were compared."""

    @property
    def ratio(self) -> float:
        """Expected delta size divided by the target's size; to be believed as far as `confidence` says."""
        return float(self.missing * self.literals**POWER)

    @property
    def confidence(self) -> float:
        """0.0 (nothing is known) to 1.0. Below 0.5 the sketch is too thin to rely on."""
        return self.samples / (self.samples + 3 * _THIN) if self.samples >= _THIN else 0.0


def choose_pattern(places: list[bytes]) -> bytes:
    """A pattern for two files of which some places are given: what is everywhere in one may not be in the other."""
    # Most of what is expected by chance: what occurs that often everywhere is not bound to some structure.
    enough = [0.75 * len(place) / _DISTANCE for place in places]
    looked_at = sum(map(len, places))
    best, rarest = (0.0, 0, b"\0"), (looked_at, b"\0")
    for length in _LENGTHS:
        counts = [Counter(place[at : at + length] for at in range(len(place) - length + 1)) for place in places]
        total = Counter[bytes]()
        for count in counts:
            total.update(count)
        for pattern, times in total.items():
            if times * _DISTANCE <= looked_at * _TOO_FREQUENT:
                useful = sum(min(count[pattern], most) for count, most in zip(counts, enough, strict=True))
                best = max(best, (useful, -times, pattern))
            rarest = min(rarest, (times, pattern))
        none_too_frequent = max(total.values(), default=0) * _DISTANCE <= looked_at * _TOO_FREQUENT
        if none_too_frequent or best[0] >= sum(enough) / 2:
            break
    return best[2] if best[0] else rarest[1]


class Sketch:
    """The samples of a reference, given in pieces. `add` is work for a thread."""

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.samples: set[int] = set()
        self.step = 1
        """Samples are kept whose hash is a multiple of it."""
        self._samples_of = Samples(pattern)

    def add(self, chunk: bytes) -> None:
        """The next bytes of the reference."""
        found = map(hash, self._samples_of.next(chunk))
        self.samples.update(found if self.step == 1 else (each for each in found if not each % self.step))
        while len(self.samples) > _MOST:
            self.step *= 2
            self.samples = {each for each in self.samples if not each % self.step}


class Comparison:
    """A target, given in pieces, beside the complete sketch of a reference. `add` is work for a thread."""

    def __init__(self, reference: Sketch) -> None:
        self._reference = reference
        self._samples_of = Samples(reference.pattern)
        self._own: set[int] = set()
        self._compared = 0
        self._missing = 0.0
        self._run = 0
        self._size, self._next = 0, 0
        self._raw, self._compressed = 0, 0

    def add(self, chunk: bytes) -> None:
        """The next bytes of the target."""
        theirs, own, step = self._reference.samples, self._own, self._reference.step
        for each in map(hash, self._samples_of.next(chunk)):
            if each % step:
                continue
            self._compared += 1
            if each in theirs or each in own:  # what it has itself twice is carried once
                self._end_run()
            else:
                self._run += 1
                if len(own) < _MOST:
                    own.add(each)
        self._size += len(chunk)
        while self._next < self._size:
            start = len(chunk) - (self._size - self._next)
            piece = chunk[start : start + _COMPRESSED]
            self._raw += len(piece)
            self._compressed += min(len(piece), len(zlib.compress(piece, 1)))
            self._next += _EVERY

    def _end_run(self) -> None:
        if self._run:
            self._missing += self._run - _EDGES
            self._run = 0

    def likeness(self) -> Likeness:
        """What was found so far."""
        missing = self._missing + self._run
        return Likeness(
            missing=missing / self._compared if self._compared else 1.0,
            literals=self._compressed / self._raw if self._raw else 1.0,
            samples=self._compared,
        )


class Samples:
    """Finds the samples of a stream that comes in pieces."""

    def __init__(self, pattern: bytes) -> None:
        self._find = re.compile(re.escape(pattern) + b"(?s:.{%d})" % (_SAMPLE - len(pattern))).findall
        self._rest = b""

    def next(self, chunk: bytes) -> list[bytes]:
        whole = self._rest + chunk
        self._rest = whole[1 - _SAMPLE :]  # a sample may go on in the next piece
        found: list[bytes] = self._find(whole)
        return found
