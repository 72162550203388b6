"""VCDIFF streams (RFC 3284): the header, with xdelta3's application header, and windows that only copy."""

from __future__ import annotations

from dataclasses import dataclass

from deltaglider_async.errors import DiffDecodeError

MAGIC = b"\xd6\xc3\xc4"
#: Bits of the header indicator; the third is xdelta3's extension.
_SECONDARY, _CODE_TABLE, _APPLICATION = 0x01, 0x02, 0x04
#: Bits of the window indicator; the third is xdelta3's extension, a checksum of the window's target.
SOURCE, ADLER32 = 0x01, 0x04
#: The instruction of the default code table that copies, with the size behind it and an address counted from the
#: start of the source segment (RFC 3284, section 5.6).
_COPY = 19
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


def copying_window(position: int, size: int, adler32: int) -> bytes:
    """A window of `size` bytes that are those of the source at `position` (RFC 3284, sections 4.2 and 5)."""
    copy, address = bytes([_COPY]) + _number(size), _number(0)
    encoding = _number(size) + b"\0" + _number(0) + _number(len(copy)) + _number(len(address))
    encoding += adler32.to_bytes(4, "big") + copy + address
    window = bytes([SOURCE | ADLER32]) + _number(size) + _number(position)
    return window + _number(len(encoding)) + encoding


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
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))
