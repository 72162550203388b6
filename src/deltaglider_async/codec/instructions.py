"""A window of VCDIFF, decoded here: what RFC 3284 calls its instructions, sections 5 and 6.

A process of xdelta3 is a millisecond of work for each MiB that goes through its pipes, and some more to start it. Where
a window has few instructions, as those of a large file with few changes have, reading the reference at the places that
they name is all there is to do. Each instruction takes Python about a microsecond, so that windows of many are left to
xdelta3 (`few`), and so is each window that is wrong in any way, or of a kind that xdelta3 does not write: it says what
is wrong. So this decodes to what xdelta3 decodes to, or to nothing.

A window whose target is long pieces of the reference is read twice where its checksum counts, for that and to be given
out, and no more of it is in memory than a piece. One that copies from itself, or takes many reads, is made in memory.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from deltaglider_async.codec.vcdiff import LONGEST_NUMBER
from deltaglider_async.codec.windows import UnknownWindowsError, Window, number
from deltaglider_async.errors import DiffDecodeError

#: The largest target of a window that xdelta3 decodes, in bytes.
LARGEST_WINDOW = 16 << 20
#: The largest part of a reference that a window copies from, in bytes: `-B` is at most that.
_LARGEST_SOURCE = 1 << 31
#: Bytes of instructions, of all windows so far: so many, and one for so many bytes of the target.
_FEW, _TARGET_OF_EACH = 4096, 4096
#: Bytes of the target that an instruction makes, at least and on average, for a window to be read twice.
_LONG = 32 * 1024
#: Bytes that are checked at a time: they stay in the processor's cache.
_CHECKED = 256 * 1024
#: What is done: the three of the code table, and a copy within the target.
_RUN, _ADD, _COPY, _COPY_WITHIN = range(4)
#: Modes of addresses: from the start, back from here, after one of the last few, and equal to an older one.
_SELF, _HERE, _NEAR = range(3)
_NEAR_SLOTS, _SAME_SLOTS = 4, 3

Half = tuple[int, int, int]


class RefusedError(Exception):
    """This window is not decoded here."""


def few(window: Window, instructions: int, made: int) -> bool:
    """Whether a window may be decoded here, after those of the same delta that had so many bytes of instructions and
    made so many bytes of the target. Then it is not longer than some 16 MiB.
    """
    content, here, addresses = window.sections
    if window.packed or not 0 < window.size <= LARGEST_WINDOW or window.source[0] > _LARGEST_SOURCE:
        return False
    if content > window.size or addresses > LONGEST_NUMBER * here:
        return False
    return instructions + here <= _FEW + (made + window.size) // _TARGET_OF_EACH


class Target:
    """What a window makes, after `read`.

    `data` are the window's bytes in the stream; the reference, of so many bytes, is read from a descriptor at any
    place. All methods but `reach` block.
    """

    def __init__(self, window: Window, data: bytes, descriptor: int, reference: int) -> None:
        self._window, self._reference = window, reference
        self._plan = _Plan(data, descriptor)
        self._made: memoryview | None = None

    def read(self) -> None:
        """Read the instructions. Raises `RefusedError`."""
        try:
            _read(self._plan, self._window, self._reference)
        except (IndexError, UnknownWindowsError):
            raise RefusedError from None

    def reach(self, start: int, stop: int) -> int:
        """How many bytes of the reference must be there for these of the target, or for its checksum: for all."""
        return self._plan.reach(0, self._window.size) if self._plan.within else self._plan.reach(start, stop)

    def check(self) -> None:
        """Compare the checksum, if the window has one. Raises `RefusedError`."""
        window = self._window
        if window.adler32 is None:
            return
        try:
            if len(self._plan.ends) > 2 + window.size // _LONG:
                self._make()
            if self._checksum() != window.adler32:
                raise RefusedError
        except OSError:
            raise RefusedError from None

    def chunk(self, start: int, stop: int) -> bytes:
        """Some of the target. Raises `DiffDecodeError` where the reference cannot be read any more."""
        try:
            if self._plan.within and self._made is None:
                self._make()
            return self._plan.chunk(start, stop) if self._made is None else bytes(self._made[start:stop])
        except (OSError, RefusedError) as error:
            raise DiffDecodeError("the reference could not be read") from error

    def _make(self) -> None:
        made = memoryview(bytearray(self._window.size))
        self._plan.fill(0, made)
        self._made = made

    def _checksum(self) -> int:
        if self._plan.within and self._made is None:
            self._make()
        if self._made is not None:
            return zlib.adler32(self._made)
        checksum, size = 1, self._window.size
        with memoryview(bytearray(min(_CHECKED, size))) as scratch:
            for start in range(0, size, _CHECKED):
                part = scratch[: size - start]
                self._plan.fill(start, part)
                checksum = zlib.adler32(part, checksum)
        return checksum


@dataclass(slots=True)
class _Plan:
    """Where the target of a window comes from: by its instructions, where each ends, what it does, and its place in the
    data, the reference or the target.
    """

    data: bytes
    descriptor: int
    ends: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    within: bool = False

    def reach(self, start: int, stop: int) -> int:
        """Where what some of the target copies from the reference ends there, at the furthest."""
        highest, index = 0, bisect_right(self.ends, start)
        while start < stop:
            end = min(stop, self.ends[index])
            if self.kinds[index] == _COPY:
                begin = self.ends[index - 1] if index else 0
                highest = max(highest, self.places[index] + end - begin)
            start, index = end, index + 1
        return highest

    def chunk(self, start: int, stop: int) -> bytes:
        """Some of the target that no copy within it makes. Raises `RefusedError`, `OSError`."""
        parts, index = [], bisect_right(self.ends, start)
        while start < stop:
            end = min(stop, self.ends[index])
            kind, place, size = self.kinds[index], self.places[index], end - start
            skipped = start - (self.ends[index - 1] if index else 0)
            if kind == _COPY:
                parts.append(_piece(self.descriptor, size, place + skipped))
            elif kind == _ADD:
                parts.append(self.data[place + skipped : place + skipped + size])
            else:
                parts.append(self.data[place : place + 1] * size)
            start, index = end, index + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def fill(self, start: int, into: memoryview) -> None:
        """The target from a place on; with a copy within it, from its start on. Raises `RefusedError`, `OSError`."""
        index, done = bisect_right(self.ends, start), 0
        while done < len(into):
            skipped = start + done - (self.ends[index - 1] if index else 0)
            end = min(len(into), self.ends[index] - start)
            kind, place, part = self.kinds[index], self.places[index] + skipped, into[done:end]
            if kind == _COPY:
                _pread(self.descriptor, part, place)
            elif kind == _ADD:
                part[:] = self.data[place : place + len(part)]
            elif kind == _RUN:
                part[:] = self.data[place - skipped : place - skipped + 1] * len(part)
            else:
                _repeat(into, place, done, end)
            index, done = index + 1, end


def _read(plan: _Plan, window: Window, reference: int) -> None:
    """Read the instructions of a window. Raises `RefusedError`, `IndexError`, `UnknownWindowsError`."""
    size, begin = window.source
    content, instructions, addresses = window.sections
    # Where the sections end, and where the next byte of each is.
    end_of_instructions = window.length - addresses
    end_of_content = end_of_instructions - instructions
    content_place, instruction_place, address_place = end_of_content - content, end_of_content, end_of_instructions
    data, known, position = plan.data, _Addresses(), 0
    while instruction_place < end_of_instructions:
        opcode, instruction_place = data[instruction_place], instruction_place + 1
        for kind, length, mode in _CODES[opcode]:
            if not length:
                length, instruction_place = number(data, instruction_place)
            if kind == _COPY:
                place, address_place = known.read(mode, size + position, data, address_place)
                if place + length <= size:
                    place += begin
                    if place + length > reference:
                        raise RefusedError
                elif place >= size:
                    kind, place, plan.within = _COPY_WITHIN, place - size, True
                else:
                    raise RefusedError
            else:
                place, content_place = content_place, content_place + (length if kind == _ADD else 1)
                if content_place > end_of_content:
                    raise RefusedError
            position += length
            if position > window.size:
                raise RefusedError
            plan.ends.append(position)
            plan.kinds.append(kind)
            plan.places.append(place)
    read = (position, content_place, instruction_place, address_place)
    if read != (window.size, end_of_content, end_of_instructions, window.length):
        raise RefusedError


class _Addresses:
    """The addresses of a window's copies, of which later ones are told by earlier ones (section 5.1)."""

    def __init__(self) -> None:
        self._near = [0] * _NEAR_SLOTS
        self._next = 0
        self._same = [0] * (_SAME_SLOTS * 256)

    def read(self, mode: int, here: int, data: bytes, place: int) -> tuple[int, int]:
        """The next address, and where what follows it begins."""
        if mode < _NEAR + _NEAR_SLOTS:
            value, place = number(data, place)
            if mode == _HERE:
                value = here - value
            elif mode >= _NEAR:
                value += self._near[mode - _NEAR]
        else:
            value, place = self._same[(mode - _NEAR - _NEAR_SLOTS) * 256 + data[place]], place + 1
        if not 0 <= value < here:
            raise RefusedError
        self._near[self._next] = value
        self._next = (self._next + 1) % _NEAR_SLOTS
        self._same[value % len(self._same)] = value
        return value, place


def _pread(descriptor: int, into: memoryview, position: int) -> None:
    """Fill `into` from the reference."""
    while into:
        taken = os.preadv(descriptor, [into], position)
        if not taken:
            raise RefusedError  # it ends before
        into, position = into[taken:], position + taken


def _piece(descriptor: int, size: int, position: int) -> bytes:
    """Some of the reference, which nothing copies once more."""
    piece = os.pread(descriptor, size, position)
    while len(piece) < size:
        more = os.pread(descriptor, size - len(piece), position + len(piece))
        if not more:
            raise RefusedError  # it ends before
        piece += more
    return piece


def _repeat(target: memoryview, source: int, position: int, end: int) -> None:
    """Copy within the target, also of what this copy itself makes: then it repeats."""
    while position < end:
        step = min(end, 2 * position - source)
        target[position:step] = target[source : source + step - position]
        position = step


def _codes() -> Iterator[tuple[Half, ...]]:
    """The default code table (section 5.6): one or two instructions each, size 0 where it follows."""
    modes = range(_NEAR + _NEAR_SLOTS + _SAME_SLOTS)
    yield ((_RUN, 0, 0),)
    for size in range(18):
        yield ((_ADD, size, 0),)
    for mode in modes:
        for size in (0, *range(4, 19)):
            yield ((_COPY, size, mode),)
    for mode in modes:
        for added in range(1, 5):
            for size in range(4, 7 if mode < _NEAR + _NEAR_SLOTS else 5):
                yield (_ADD, added, 0), (_COPY, size, mode)
    for mode in modes:
        yield (_COPY, 4, mode), (_ADD, 1, 0)


_CODES = tuple(_codes())
