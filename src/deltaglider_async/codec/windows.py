"""The windows of a VCDIFF stream (RFC 3284, section 4.2): a range of the target needs only those that make it.

A window says how long it is and how many bytes of the target it makes. It copies from the reference and from itself;
xdelta3 decodes none that copies from the target before it. So what makes nothing of a range is left out of the stream,
but for windows that are compressed by something that remembers those before: lzma does, djw does not.

Windows that are left out are not decoded, so their word is checked as far as it goes: lengths must agree with each
other, and all together make a target of the recorded size. What does not is decoded from its start, where xdelta3 tells
what is wrong. Pure, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deltaglider_async.codec.vcdiff import ADLER32, LONGEST_NUMBER, SOURCE

#: A secondary compressor, as xdelta3 numbers them, that starts anew in each window.
_DJW = 1
#: xdelta3 writes windows of 16 KiB and more. Whoever makes billions of tiny ones does not make us count them.
_SMALLEST, _MOST_BESIDES = 16 * 1024, 1024


class UnknownWindowsError(Exception):
    """These windows are not as xdelta3 writes them."""


@dataclass(frozen=True, slots=True)
class Window:
    """`length`: bytes in the stream. `size`: bytes of the target. `packed`: whether a section is compressed.

    `source`: the part of the reference that it copies from, size and position. `sections`: bytes of data, instructions
    and addresses, which end the window. `adler32`: of the target, if it says so.
    """

    length: int
    size: int
    packed: bool
    source: tuple[int, int] = (0, 0)
    sections: tuple[int, int, int] = (0, 0, 0)
    adler32: int | None = None


def read_window(data: bytes | bytearray, position: int) -> Window:
    """The window that begins at a position. Raises `IndexError` where `data` ends before the window has said all this,
    `UnknownWindowsError` where it contradicts itself.
    """
    indicator, place = data[position], position + 1
    if indicator & ~(SOURCE | ADLER32):
        raise UnknownWindowsError
    source = (0, 0)
    if indicator & SOURCE:
        segment, place = number(data, place)
        begin, place = number(data, place)
        source = segment, begin
    length, start = number(data, place)
    size, place = number(data, start)
    packed, place = data[place], place + 1
    content, place = number(data, place)
    instructions, place = number(data, place)
    addresses, place = number(data, place)
    sections, checksum = (content, instructions, addresses), 4 if indicator & ADLER32 else 0
    if place - start + checksum + sum(sections) != length:
        raise UnknownWindowsError
    adler32 = None
    if checksum:
        data[place + checksum - 1]  # all of it is there
        adler32 = int.from_bytes(data[place : place + checksum], "big")
    return Window(start + length - position, size, bool(packed), source, sections, adler32)


def number(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """A number, and where what follows it begins. Raises as `read_window` does."""
    value = 0
    for place in range(position, position + LONGEST_NUMBER):
        value = value << 7 | data[place] & 0x7F
        if not data[place] & 0x80:
            return value, place + 1
    raise UnknownWindowsError


@dataclass(slots=True)
class Selection:
    """What bytes `start` to `stop` (exclusive) of a target of `size` bytes need of a stream.

    `feed` it the whole stream, whose first `header` bytes are its header, then `finish`. Both raise
    `UnknownWindowsError`.
    """

    header: int
    secondary: int | None
    size: int
    start: int
    stop: int
    left_out: int = 0
    """Bytes of the target, before the range, that the selected windows do not make."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Where in the stream that is which is needed: first and last-plus-one byte, in order."""
    _begin: int = 0
    _rest: bytes = b""
    _fed: int = 0
    _made: int = 0
    _windows: int = 0

    def __post_init__(self) -> None:
        self.spans.append((0, self.header))
        self._begin = self.header

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        data = self._rest + chunk
        offset = self._fed - len(self._rest)
        self._fed += len(chunk)
        while (place := self._begin - offset) < len(data):
            try:
                window = read_window(data, place)
            except IndexError:
                break  # the next chunk has the rest of what it says
            self._take(window)
        self._rest = data[place:]

    def finish(self) -> None:
        """The stream has ended."""
        if self._begin != self._fed or self._made != self.size:
            raise UnknownWindowsError

    def _take(self, window: Window) -> None:
        begin, made = self._begin, self._made
        self._begin, self._made, self._windows = begin + window.length, made + window.size, self._windows + 1
        if self._made > self.size or self._windows > self.size // _SMALLEST + _MOST_BESIDES:
            raise UnknownWindowsError
        if made >= self.stop:
            return
        if self._made <= self.start and not (window.packed and self.secondary != _DJW):
            self.left_out += window.size
        elif self.spans[-1][1] == begin:
            self.spans[-1] = self.spans[-1][0], self._begin
        else:
            self.spans.append((begin, self._begin))
