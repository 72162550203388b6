"""A window of VCDIFF, decoded here: what RFC 3284 calls its instructions, sections 5 and 6.

A process of xdelta3 is a millisecond of work for each MiB that goes through its pipes, and some more to start it. Where
a window has few instructions, as those of a large file with few changes have, reading the reference at the places that
they name is all there is to do. Each instruction takes Python about a microsecond, so that windows of many are left to
xdelta3 (`few`), and so is each window that is wrong in any way, or of a kind that xdelta3 does not write: it says what
is wrong. So this decodes to what xdelta3 decodes to, or to nothing.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

from deltaglider_async.codec.vcdiff import LONGEST_NUMBER
from deltaglider_async.codec.windows import UnknownWindowsError, Window, number

#: The largest target of a window that xdelta3 decodes, in bytes.
LARGEST_WINDOW = 16 << 20
#: The largest part of a reference that a window copies from, in bytes: `-B` is at most that.
_LARGEST_SOURCE = 1 << 31
#: Bytes of instructions, of all windows so far: so many, and one for so many bytes of the target.
_FEW, _TARGET_OF_EACH = 8192, 1024
_RUN, _ADD, _COPY = range(3)
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


def decode(window: Window, data: bytes, descriptor: int, target: memoryview) -> None:
    """Write what a window makes into `target`, which has its size. `data` are its bytes in the stream; the reference is
    read from a descriptor at any place. Blocks. Raises `RefusedError`.
    """
    try:
        _decode(window, data, descriptor, target)
    except (IndexError, UnknownWindowsError, OSError):
        raise RefusedError from None
    if window.adler32 is not None and zlib.adler32(target) != window.adler32:
        raise RefusedError


def _decode(window: Window, data: bytes, descriptor: int, target: memoryview) -> None:
    size, begin = window.source
    content, instructions, addresses = window.sections
    # Where the sections end, and where the next byte of each is.
    end_of_instructions = window.length - addresses
    end_of_content = end_of_instructions - instructions
    content_place, instruction_place, address_place = end_of_content - content, end_of_content, end_of_instructions
    known = _Addresses()
    position = 0
    while instruction_place < end_of_instructions:
        opcode, instruction_place = data[instruction_place], instruction_place + 1
        for kind, length, mode in _CODES[opcode]:
            if not length:
                length, instruction_place = number(data, instruction_place)
            end = position + length
            if end > window.size:
                raise RefusedError
            if kind == _COPY:
                address, address_place = known.read(mode, size + position, data, address_place)
                if address + length <= size:
                    _read(descriptor, begin + address, target[position:end])
                elif size <= address < size + position:
                    _repeat(target, address - size, position, end)
                else:
                    raise RefusedError
            else:
                taken = length if kind == _ADD else 1
                if content_place + taken > end_of_content:
                    raise RefusedError
                found = data[content_place : content_place + taken]
                target[position:end] = found if kind == _ADD else found * length
                content_place += taken
            position = end
    if (position, content_place, instruction_place, address_place) != (
        window.size,
        end_of_content,
        end_of_instructions,
        window.length,
    ):
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


def _read(descriptor: int, position: int, into: memoryview) -> None:
    """Fill `into` from the reference."""
    if position + len(into) >= 1 << 63:
        raise RefusedError
    while into:
        taken = os.preadv(descriptor, [into], position)
        if not taken:
            raise RefusedError  # it ends before
        into, position = into[taken:], position + taken


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
