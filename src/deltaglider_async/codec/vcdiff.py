"""VCDIFF streams (RFC 3284): the header, with xdelta3's application header, and windows that only copy."""

from __future__ import annotations

from dataclasses import dataclass

from deltaglider_async.errors import DiffDecodeError

MAGIC = b"\xd6\xc3\xc4"
#: Bits of the header indicator; the third is xdelta3's extension.
_SECONDARY, _CODE_TABLE, _APPLICATION = 0x01, 0x02, 0x04
#: Bits of the window indicator; the third is xdelta3's extension, a checksum of the window's target.
SOURCE, ADLER32 = 0x01, 0x04
#: The default code table (RFC 3284, section 5.6): the instructions that add and copy with the size behind them. After
#: the one are those that add 1 to 17 bytes, after the other those that copy 4 to 18, and so again for each mode of
#: addresses.
_ADD, _LONGEST_ADD = 1, 17
_COPY, _SHORTEST_COPY, _LONGEST_COPY, _MODE = 19, 3, 18, 16
#: Addresses that are remembered (section 5.1): the last ones, and one for each of their values modulo 768.
_NEAR, _SAME = 4, 3
#: Application headers hold two file names; nothing honest is longer.
LONGEST_HEADER = 8192
#: Bytes of a number; xdelta3 takes no more for 64 bits.
LONGEST_NUMBER = 10


#: The outside programs that xdelta3 knows, by the letter that asks for them.
PROGRAMS = {b"B": "bzip2", b"G": "gzip", b"Y": "xz", b"Z": "compress"}
#: `target/letter/source/letter`. Versions before 3.0.9 write beyond the end of an array where there are more.
_MOST_SLASHES = 3


@dataclass(frozen=True, slots=True)
class Header:
    """What a delta says of itself before its first window."""

    application: bytes

    @property
    def programs(self) -> tuple[str, ...]:
        """The outside programs that decoding starts, to decompress the reference or to recompress the result.

        xdelta3 writes `target//source/` with the letter of a program after either name where it decompressed
        that file before encoding. It is read here as xdelta3 reads it: up to a NUL, and of two or four parts.
        Raises `DiffDecodeError` for what xdelta3 never writes.
        """
        parts = self.application.partition(b"\0")[0].split(b"/")
        if len(parts) > _MOST_SLASHES + 1:
            raise DiffDecodeError("the delta's application header has more parts than anything that xdelta3 writes")
        letters = parts[1::2] if len(parts) in (2, 4) else []
        if unknown := next((letter for letter in letters if letter and letter not in PROGRAMS), None):
            raise DiffDecodeError(
                f"the delta asks for the outside program {unknown[:20]!r}, which xdelta3 does not know. "
                f"Known: {', '.join(f'{letter.decode()} ({name})' for letter, name in PROGRAMS.items())}"
            )
        return tuple(PROGRAMS[letter] for letter in letters if letter)


def read_header(head: bytes) -> Header | None:
    """The header at the start of a delta, or None if `head` does not reach to its end yet.

    Raises `DiffDecodeError` if this is no VCDIFF stream that can be decoded here.
    """
    place = _application(head)
    return None if place is None else Header(head[place[1] : place[2]])


def beginning(head: bytes) -> tuple[int, int | None]:
    """Bytes of the header, to whose end `head` must reach, and the number of its secondary compressor, if it has one.

    Raises `DiffDecodeError` as `read_header` does.
    """
    place = _application(head)
    if place is None:
        raise DiffDecodeError(f"the delta ends after {len(head)} bytes, within its header")
    return place[2], head[5] if head[4] & _SECONDARY else None


def with_application(head: bytes, application: bytes) -> bytes:
    """The start of a delta, which must reach to the end of its header, with another application header.

    What follows in `head` stays. Windows know nothing of the header, so the delta decodes to the same bytes. Raises
    `DiffDecodeError` as `read_header` does.
    """
    place = _application(head)
    if place is None:
        raise DiffDecodeError(f"the delta ends after {len(head)} bytes, within its header")
    number, _, end = place
    flags = bytes([head[4] | _APPLICATION])
    return head[:4] + flags + head[5:number] + _number(len(application)) + application + head[end:]


def header(application: bytes) -> bytes:
    """The start of a delta without secondary compression, with an application header."""
    return MAGIC + bytes([0, _APPLICATION]) + _number(len(application)) + application


class Instructions:
    """A window of a delta, whose bytes are given in order (RFC 3284, sections 4 and 5, with the default code table).

    It copies from bytes `start` to `stop` (exclusive) of the source. Addresses are written in the shortest of the
    modes of section 5.3; what they remember is forgotten with the window.
    """

    def __init__(self, start: int, stop: int) -> None:
        self._start, self._length = start, stop - start
        self._size = 0
        self._data = bytearray()
        self._instructions = bytearray()
        self._addresses = bytearray()
        self._near = [0] * _NEAR
        self._next = 0
        self._same = [0] * (_SAME * 256)

    def add(self, data: bytes | bytearray) -> None:
        """Bytes that the source does not have."""
        size = len(data)
        if size <= _LONGEST_ADD:
            self._instructions.append(_ADD + size)
        else:
            self._instructions.append(_ADD)
            self._instructions += _number(size)
        self._data += data
        self._size += size

    def copy(self, position: int, size: int) -> None:
        """Bytes that are those of the source at a position."""
        address = position - self._start
        # In the shortest mode: 0 counts from the start of the source, 1 back from where the window has come to, the
        # next from an address that was used, and the last ones name one.
        slot = address % len(self._same)
        if self._same[slot] == address and address:
            mode, written = 2 + _NEAR + slot // 256, bytes((slot % 256,))
        else:
            mode, least = 0, address
            if (back := self._length + self._size - address) < least:
                mode, least = 1, back
            for number, near in enumerate(self._near, 2):
                if 0 <= address - near < least:
                    mode, least = number, address - near
            written = _number(least)
        opcode = _COPY + _MODE * mode
        if _SHORTEST_COPY < size <= _LONGEST_COPY:
            self._instructions.append(opcode + size - _SHORTEST_COPY)
        else:
            self._instructions.append(opcode)
            self._instructions += _number(size)
        self._addresses += written
        self._near[self._next] = address
        self._next = (self._next + 1) % _NEAR
        self._same[slot] = address
        self._size += size

    def finish(self, adler32: int) -> bytes:
        """The window. `adler32`: the checksum of all its bytes, for xdelta3."""
        data, instructions, addresses = self._data, self._instructions, self._addresses
        encoding = _number(self._size) + b"\0" + b"".join(map(_number, map(len, (data, instructions, addresses))))
        encoding += adler32.to_bytes(4, "big")
        source = _number(self._length) + _number(self._start) if self._length else b""
        window = bytes([(SOURCE if source else 0) | ADLER32]) + source
        length = len(encoding) + len(data) + len(instructions) + len(addresses)
        return b"".join((window, _number(length), encoding, data, instructions, addresses))


def copying_window(position: int, size: int, adler32: int) -> bytes:
    """A window of `size` bytes that are those of the source at `position`."""
    window = Instructions(position, position + size)
    window.copy(position, size)
    return window.finish(adler32)


def _application(head: bytes) -> tuple[int, int, int] | None:
    """Where the application header's length is, where its bytes begin and where they end; all one if it has none."""
    if not MAGIC.startswith(head[:3]):
        raise DiffDecodeError("the delta is no VCDIFF stream: it does not begin with D6 C3 C4")
    if len(head) < 5:
        return None
    version, indicator = head[3], head[4]
    if version != 0 or indicator & ~(_SECONDARY | _CODE_TABLE | _APPLICATION):
        raise DiffDecodeError(f"the delta is a VCDIFF stream of an unknown kind (version {version}, flags {indicator})")
    if indicator & _CODE_TABLE:
        raise DiffDecodeError("the delta has a code table of its own, which xdelta3 does not decode")
    position = 6 if indicator & _SECONDARY else 5
    if not indicator & _APPLICATION:
        return (position, position, position) if len(head) >= position else None
    length, digits = 0, position
    while True:
        if position - digits >= LONGEST_NUMBER:
            raise DiffDecodeError("the length of the delta's application header has no end")
        if position >= len(head):
            return None
        byte = head[position]
        position += 1
        length = length << 7 | byte & 0x7F
        if length > LONGEST_HEADER:
            raise DiffDecodeError("the delta's application header is longer than anything that xdelta3 writes")
        if not byte & 0x80:
            break
    return (digits, position, position + length) if len(head) >= position + length else None


def _number(value: int) -> bytes:
    """An integer as RFC 3284 writes it (section 2): seven bits a byte, the highest first, all but the last marked."""
    if value < 1 << 7:
        return bytes((value,))
    if value < 1 << 14:
        return bytes((value >> 7 | 0x80, value & 0x7F))
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))
