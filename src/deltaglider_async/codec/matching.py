"""Windows of a delta made here, without an encoder: for what is the reference's nearly everywhere.

xdelta3 looks for every byte of the target in its table of the reference. Where a target goes on as the reference does,
comparing memory is a hundred times as fast; and where it does not, a place that both have tells where it does again.
Such places are chosen by content, as in `streams.sketch`: a byte that comes once in a few hundred, and those after it.
What lies between is taken as new. In compressed content that is all that an encoder finds, too; where what is new
could be made smaller, the block is left to one (`Matcher.window` gives None).

Any decoder of VCDIFF reads these windows. They are proven by xdelta3 like its own.
"""

from __future__ import annotations

import logging
import mmap
import os
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from deltaglider_async.codec import Reference
from deltaglider_async.codec.vcdiff import Instructions
from deltaglider_async.streams.threads import until

_log = logging.getLogger(__name__)

#: Bytes of a sample, and of what is compared to find out whether both go on alike.
_SAMPLE = 16
#: Samples of a reference that are wanted, about; with their positions they take some 130 bytes each.
_MOST = 1 << 17
#: A byte that begins samples comes once in so many, as any does in what is compressed.
_DISTANCE = 256
#: Places of the reference that are looked at to choose such bytes, and bytes of each.
_PLACES, _PLACE = 64, 4096
#: Bytes of the reference that are indexed in one go.
_PIECE = 4 * 1024 * 1024
#: Where a target ceases to go on as the reference, it may do so again after so many bytes that were changed.
_SKIPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 256, 1024, 4096, 16384)
#: Between two copies some is looked for more closely: samples that begin with one of eight bytes, in what the
#: reference has between what they copy, of so many bytes at most; more than twice a block's length of it is not read.
_CLOSE = re.compile(b"[" + b"".join(b"\\x%02x" % (36 * each) for each in range(8)) + b"](?s:.{11})")
_LONGEST_GAP, _GAPS = 16 * 1024, 2
#: As many bytes are compared in one go, 64 KiB at most, as fit into what is near a processor.
_COMPARED = 64 * 1024
#: So many bytes that differ are looked at as one number.
_OF_A_NUMBER = 256
#: More copies than one in so many bytes are better found by an encoder; so many may be in any block.
_BYTES_OF_A_COPY, _FEW = 256, 256
#: So small a share of a block may be new, whatever it is.
_HARDLY = 1 / 1024
#: How much of what is new is compressed to know what it is made of, in pieces that are short, since many gaps are; and
#: what compression must leave of it where an encoder would find nothing more.
_TASTE, _PIECE_OF_TASTE, _INCOMPRESSIBLE = 32 * 1024, 64, 0.99
#: With so many more blocks left to encoders than made here, no more are tried.
_PATIENCE = 2

Copy = tuple[int, int, int]
"""Where in the block, from where in the reference, and how many bytes."""
Samples = tuple[tuple[re.Pattern[bytes], dict[bytes, int]], ...]
"""For each kind of sample how to find it, and where the reference has it."""
Content = bytes | bytearray
Readable = bytes | mmap.mmap


class Index:
    """Where a reference has its samples. Made when first asked for, by one thread; others wait for it."""

    def __init__(self) -> None:
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
    return re.compile(b"\\x%02x[\\x00-\\x%02x](?s:.{%d})" % (byte, max(0, highest), _SAMPLE - 2))


def _positions(kind: re.Pattern[bytes], reference: Mapped, stop: threading.Event) -> dict[bytes, int]:
    positions: dict[bytes, int] = {}
    for start in until(stop, range(0, reference.size, _PIECE)):
        piece = reference.bytes[start : start + _PIECE + _SAMPLE]
        # Twice what is wanted, where the places that were looked at are not like the rest.
        most = max(_FEW, _MOST * len(piece) // reference.size)
        for found in islice(kind.finditer(piece), most):
            # The first of several: what repeats goes on from there.
            positions.setdefault(found.group(), start + found.start())
        reference.let_go()
    return positions


class Matcher:
    """The blocks of one target, in order, beside a reference. To be closed. All methods are for a thread."""

    def __init__(self, reference: Reference, index: Index) -> None:
        self._of = reference
        self._mapped: Mapped | None = None
        self._index = index
        #: To be set when a window that is being made is not wanted any more; `window` then raises `StoppedError`.
        self.stop = threading.Event()
        self._shift = 0
        self._place = 0
        self._patience = _PATIENCE

    def close(self) -> None:
        if self._mapped is not None:
            self._mapped.close()

    def window(self, block: Content) -> bytes | None:
        """The window that makes this block, or None where an encoder should."""
        place, self._place = self._place, self._place + len(block)
        if self._patience < 0:
            return None
        try:
            return self._window(block, place)
        except (OSError, ValueError, MemoryError) as error:
            _log.warning("cannot look into a reference of %d bytes, xdelta3 encodes: %r", self._of.size, error)
            self._patience = -1
            return None

    def _window(self, block: Content, place: int) -> bytes | None:
        self._mapped = self._mapped or Mapped(self._of)
        copies = self._copies(self._mapped, block, place)
        self._mapped.let_go()
        if copies is None or not _good_enough(block, copies):
            self._patience -= 1
            return None
        self._patience = min(_PATIENCE, self._patience + 1)
        return _written(block, copies)

    def _copies(self, mapped: Mapped, block: Content, place: int) -> list[Copy] | None:
        """What the block has of the reference, in order; None where it is too scattered."""
        reference, size, end = mapped.bytes, mapped.size, len(block)
        most = _FEW + end // _BYTES_OF_A_COPY
        copies: list[Copy] = []
        position = 0
        shift = place + self._shift  # from a place of the block to that of the reference
        skips: tuple[int, ...] = (0, *_SKIPS)
        search: _Search | None = None
        while position < end and len(copies) < most:
            at, last = -1, min(end, size - shift) - _SAMPLE
            if position + shift >= 0:
                for skip in skips:
                    start = position + skip
                    if start > last:
                        break
                    if block[start : start + _SAMPLE] == reference[start + shift : start + shift + _SAMPLE]:
                        at, source = start, start + shift
                        break
            if at < 0:
                search = search or _Search(block, self._index.samples(mapped, self.stop))
                if (found := search.next(position)) is None:
                    break
                at, source = found
            back = _alike_before(block, at, reference, source, min(at - position, source))
            forth = _alike(block, at, reference, source, min(end - at, size - source))
            copies.append((at - back, source - back, back + forth))
            position, shift, skips = at + forth, source - at, _SKIPS
        self._shift = shift - place
        return _looked_closely(mapped.bytes, block, copies) if len(copies) < most else None


def _looked_closely(reference: Readable, block: Content, copies: list[Copy]) -> list[Copy]:
    """The same, with copies in between that have no sample."""
    found: list[Copy] = []
    left = _GAPS * len(block)
    position = place = 0
    for copy in copies:
        at, source, length = copy
        if min(at - position, source - place) >= _SAMPLE and source - place <= min(left, _LONGEST_GAP):
            left -= source - place
            gap, other = block[position:at], reference[place:source]
            found += [(position + at, place + source, length) for at, source, length in _closely(gap, other)]
        found.append(copy)
        position, place = at + length, source + length
    return found


class _Search:
    """The samples of a block that the reference has, too, in order."""

    def __init__(self, block: Content, samples: Samples) -> None:
        self._block = block
        self._samples = samples
        self._next: list[tuple[int, int]] = [(-1, 0)] * len(samples)

    def next(self, position: int) -> tuple[int, int] | None:
        """The first at or after a position: where it is, and where the reference has it."""
        end = len(self._block)
        for number, (kind, positions) in enumerate(self._samples):
            if self._next[number][0] >= position:
                continue
            self._next[number] = end, 0
            for found in kind.finditer(self._block, position):
                if (source := positions.get(found.group())) is not None:
                    self._next[number] = found.start(), source
                    break
        at, source = min(self._next)
        return None if at == end else (at, source)


def _closely(gap: Content, other: bytes) -> Iterator[Copy]:
    """Copies from some bytes of the reference to some of a block, by samples that are many."""
    positions = {found.group(): found.start() for found in _CLOSE.finditer(other)}
    done = 0
    for found in _CLOSE.finditer(gap):
        at, source = found.start(), positions.get(found.group())
        if source is not None and at >= done:
            back = _alike_before(gap, at, other, source, min(at - done, source))
            forth = _alike(gap, at, other, source, min(len(gap) - at, len(other) - source))
            yield at - back, source - back, back + forth
            done = at + forth


def _alike(block: Content, at: int, reference: Readable, source: int, most: int) -> int:
    """How many bytes from a place of the block on are those of the reference, `most` at most."""
    alike, step = 0, 64
    while alike < most:
        if step > most - alike:
            step = most - alike
        start, other = at + alike, source + alike
        ours, theirs = block[start : start + step], reference[other : other + step]
        if ours != theirs:
            while step > _OF_A_NUMBER:
                step //= 2
                if ours[:step] == theirs[:step]:
                    alike += step
                    ours, theirs = ours[step:], theirs[step:]
                    step = len(ours)
                else:
                    ours, theirs = ours[:step], theirs[:step]
            differ = int.from_bytes(ours, "little") ^ int.from_bytes(theirs, "little")
            return alike + ((differ & -differ).bit_length() - 1) // 8
        alike += step
        step = 4 * step if step < _COMPARED else step
    return alike


def _alike_before(block: Content, at: int, reference: Readable, source: int, most: int) -> int:
    """How many bytes before a place of the block are those of the reference, `most` at most."""
    alike, step = 0, 32
    while alike < most:
        if step > most - alike:
            step = most - alike
        stop, other = at - alike, source - alike
        ours, theirs = block[stop - step : stop], reference[other - step : other]
        if ours != theirs:
            while step > _OF_A_NUMBER:
                half = step // 2
                if ours[half:] == theirs[half:]:
                    alike += step - half
                    ours, theirs = ours[:half], theirs[:half]
                else:
                    ours, theirs = ours[half:], theirs[half:]
                step = len(ours)
            differ = int.from_bytes(ours, "big") ^ int.from_bytes(theirs, "big")
            return alike + ((differ & -differ).bit_length() - 1) // 8
        alike += step
        step = 4 * step if step < _COMPARED else step
    return alike


def _good_enough(block: Content, copies: list[Copy]) -> bool:
    """Whether an encoder would hardly make less of it."""
    new = len(block) - sum(length for _, _, length in copies)
    if new <= len(block) * _HARDLY:
        return True
    # Some of what is new, from all over.
    taste, position, passed = bytearray(), 0, 0
    every = max(1, new // _TASTE) * _PIECE_OF_TASTE
    for at, _, length in (*copies, (len(block), 0, 0)):
        for start in range(position + -passed % every, at, every):
            taste += block[start : min(start + _PIECE_OF_TASTE, at)]
        passed, position = passed + at - position, at + length
    return len(zlib.compress(taste, 1)) > _INCOMPRESSIBLE * len(taste)


def _written(block: Content, copies: list[Copy]) -> bytes:
    start = min((source for _, source, _ in copies), default=0)
    stop = max((source + length for _, source, length in copies), default=0)
    window, position = Instructions(start, stop), 0
    for at, source, length in copies:
        if at > position:
            window.add(block[position:at])
        window.copy(source, length)
        position = at + length
    if position < len(block):
        window.add(block[position:])
    return window.finish(zlib.adler32(block))
