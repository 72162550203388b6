"""Windows of a delta made here, without an encoder: for what is the reference's nearly everywhere.

xdelta3 looks for every byte of the target in its table of the reference. Where a target goes on as the reference does,
comparing memory is a hundred times as fast; and where it does not, a place that both have (`samples`) tells where it
does again. What lies between is taken as new. In compressed content that is all that an encoder finds, too; where what
is new could be made smaller, the block is left to one (`window` gives None).

Any decoder of VCDIFF reads these windows. They are proven by xdelta3 like its own.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from mmap import mmap
from typing import TYPE_CHECKING

from deltaglider_async.codec.samples import SAMPLE, Index, Mapped, Samples
from deltaglider_async.codec.vcdiff import Instructions

if TYPE_CHECKING:
    import threading

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
_TASTE, _PIECE_OF_TASTE, _INCOMPRESSIBLE = 32 * 1024, 64, 0.995

Copy = tuple[int, int, int]
"""Where in the block, from where in the reference, and how many bytes."""
Content = bytes | bytearray
Readable = bytes | mmap


def window(
    reference: Mapped, index: Index, block: Content, place: int, shift: int, stop: threading.Event
) -> tuple[bytes | None, int]:
    """The window that makes a block, or None where an encoder should; and the shift for the block after it.

    `place` is where the block is in its target, and `shift` is what to add to a place of the target to have, perhaps,
    that of the reference. Raises `StoppedError` soon after `stop` is set, `OSError`, `ValueError` and `MemoryError`
    where the reference cannot be looked into.
    """
    copies, shift = _copies(reference, index, block, place, shift, stop)
    if copies is None or not _good_enough(block, copies):
        return None, shift
    return _written(block, copies), shift


def _copies(
    mapped: Mapped, index: Index, block: Content, place: int, shift: int, stop: threading.Event
) -> tuple[list[Copy] | None, int]:
    """What the block has of the reference, in order, or None where it is too scattered; and the shift at its end."""
    reference, size, end = mapped.bytes, mapped.size, len(block)
    most = _FEW + end // _BYTES_OF_A_COPY
    copies: list[Copy] = []
    position = 0
    shift += place  # from a place of the block to that of the reference
    skips: tuple[int, ...] = (0, *_SKIPS)
    search: _Search | None = None
    while position < end and len(copies) < most:
        at, last = -1, min(end, size - shift) - SAMPLE
        if position + shift >= 0:
            for skip in skips:
                start = position + skip
                if start > last:
                    break
                if block[start : start + SAMPLE] == reference[start + shift : start + shift + SAMPLE]:
                    at, source = start, start + shift
                    break
        if at < 0:
            if end - position < SAMPLE:
                break
            search = search or _Search(block, index.samples(mapped, stop))
            if (found := search.next(position)) is None:
                break
            at, source = found
        back = _alike_before(block, at, reference, source, min(at - position, source))
        forth = _alike(block, at, reference, source, min(end - at, size - source))
        copies.append((at - back, source - back, back + forth))
        position, shift, skips = at + forth, source - at, _SKIPS
    whole = _looked_closely(mapped.bytes, block, copies) if len(copies) < most else None
    return whole, shift - place


def _looked_closely(reference: Readable, block: Content, copies: list[Copy]) -> list[Copy]:
    """The same, with copies in between that have no sample."""
    found: list[Copy] = []
    left = _GAPS * len(block)
    position = place = 0
    for copy in copies:
        at, source, length = copy
        if min(at - position, source - place) >= SAMPLE and source - place <= min(left, _LONGEST_GAP):
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
