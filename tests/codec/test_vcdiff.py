"""The header of a VCDIFF stream: what xdelta3 writes, and anything that anybody else might."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deltaglider_async.codec.vcdiff import LONGEST_HEADER, MAGIC, PROGRAMS, Header, read_header, with_application
from deltaglider_async.errors import DiffDecodeError

START = MAGIC + b"\x00"


def header(application: bytes, secondary: bytes = b"") -> bytes:
    """The beginning of a delta with an application header."""
    length = len(application)
    digits = [length & 0x7F]
    while length := length >> 7:
        digits.append(0x80 | length & 0x7F)
    return START + bytes([4 | bool(secondary)]) + secondary + bytes(reversed(digits)) + application


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: START + rest))
@example(b"")
@example(START + b"\x04" + b"\xff" * 40)
@example(START + b"\x05\x10" + b"\x80" * 40)
def test_anything_is_a_header_or_the_beginning_of_one_or_an_error(data: bytes) -> None:
    try:
        found = read_header(data)
    except DiffDecodeError as error:
        assert "delta" in str(error)
        return
    assert found is None or isinstance(found, Header)
    if found is not None:
        assert found.application in data
        try:
            assert set(found.programs) <= set(PROGRAMS.values())
        except DiffDecodeError as error:
            assert "delta" in str(error)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x01", b"\x02", b"\x10"]), st.binary(max_size=20))
def test_a_header_is_read_as_soon_as_it_is_complete(application: bytes, secondary: bytes, rest: bytes) -> None:
    whole = header(application, secondary)
    assert read_header(whole + rest) == Header(application)
    for length in range(len(whole)):
        assert read_header(whole[:length]) is None


@given(
    st.none() | st.binary(max_size=300),
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x02"]),
    st.binary(max_size=20),
)
def test_an_application_header_is_put_in_place_of_any_or_none(
    old: bytes | None, new: bytes, secondary: bytes, rest: bytes
) -> None:
    bare = START + bytes([bool(secondary)]) + secondary
    head = bare if old is None else header(old, secondary)
    assert with_application(head + rest, new) == header(new, secondary) + rest
    with pytest.raises(DiffDecodeError, match="within its header"):
        with_application(head[:-1], new)


@given(st.binary(max_size=64).map(lambda rest: START + rest), st.binary(max_size=20))
def test_what_follows_changes_nothing(head: bytes, more: bytes) -> None:
    try:
        found = read_header(head)
    except DiffDecodeError:
        with pytest.raises(DiffDecodeError):
            read_header(head + more)
        return
    if found is not None:
        assert read_header(head + more) == found


def test_the_longest_header_is_read_and_a_longer_one_refused() -> None:
    assert read_header(header(b"x" * LONGEST_HEADER)) == Header(b"x" * LONGEST_HEADER)
    with pytest.raises(DiffDecodeError, match="longer"):
        read_header(header(b"x" * (LONGEST_HEADER + 1))[:8])


def test_a_length_that_never_ends_is_refused() -> None:
    """Leading zeros may make a number as long as the delta: who waits for its end reads everything."""
    with pytest.raises(DiffDecodeError):
        read_header(START + b"\x04" + b"\x80" * (2 * LONGEST_HEADER))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<html>", "D6 C3 C4"),
        (b"\x1f\x8b\x08\x00\x00", "D6 C3 C4"),
        (MAGIC + b"S\x00", "unknown kind"),
        (START + b"\x08", "unknown kind"),
        (START + b"\x02", "code table"),
    ],
)
def test_what_cannot_be_decoded_says_why(data: bytes, said: str) -> None:
    with pytest.raises(DiffDecodeError, match=said):
        read_header(data)


@pytest.mark.parametrize(
    ("application", "programs"),
    [
        (b"", ()),
        (b"nonce", ()),
        (b"target//source/", ()),
        (b"target/G/source/", ("gzip",)),
        (b"target//source/G", ("gzip",)),
        (b"target/B/source/Y", ("bzip2", "xz")),
        (b"target/", ()),
        (b"target/Z", ("compress",)),
        (b"/", ()),
        (b"///", ()),
        (b"target/G/source", ()),  # of three parts xdelta3 takes none
        (b"target\0/G/source/", ()),
        (b"target/G\0/source/", ("gzip",)),
    ],
)
def test_a_header_asks_for_outside_programs_by_a_letter(application: bytes, programs: tuple[str, ...]) -> None:
    assert Header(application).programs == programs


@pytest.mark.parametrize("letters", [b"Q", b"g", b"GG", b" ", b"\xff", b"G "])
def test_a_program_that_xdelta3_does_not_know_is_refused(letters: bytes) -> None:
    for application in (b"target/%b" % letters, b"target/%b/source/" % letters, b"target/G/source/%b" % letters):
        with pytest.raises(DiffDecodeError, match="does not know"):
            _ = Header(application).programs


@pytest.mark.parametrize("slashes", [4, 5, 100])
def test_a_header_that_old_decoders_read_beyond_their_memory_is_refused(slashes: int) -> None:
    with pytest.raises(DiffDecodeError, match="more parts"):
        _ = Header(b"/" * slashes).programs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A reference, and a delta against it that has an application header of one letter."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "source").write_bytes(b"source" * 1000)
    (folder / "target").write_bytes(b"source" * 999 + b"target")
    command = ["xdelta3", "-e", "-c", "-D", "-S", "none", "-A=x", "-s", "source", "target"]
    return folder / "source", subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


def test_xdelta3_knows_the_programs_that_we_know_and_no_other(tiny: tuple[Path, bytes]) -> None:
    source, delta = tiny
    known = set()
    for letter in (bytes([number]) for number in range(1, 256) if number != ord("/")):
        hostile = delta[:5] + b"\x03t/" + letter + delta[7:]
        command = ["xdelta3", "-d", "-c", "-D", "-s", str(source)]
        said = subprocess.run(command, input=hostile, check=False, capture_output=True).stderr
        if b"unrecognized external compression" not in said:
            known.add(letter)
    assert known == set(PROGRAMS)


@pytest.mark.parametrize(
    ("options", "application"),
    [
        (["-A=nonce"], b"nonce"),
        (["-A="], b""),
        ([], b"target//source/"),
        (["-S", "none"], b"target//source/"),
        (["-9", "-S", "djw"], b"target//source/"),
        (["-n"], b"target//source/"),
    ],
    ids=["nonce", "empty", "names", "names, none", "names, djw", "no checksum"],
)
def test_what_xdelta3_writes_is_read(tmp_path: Path, options: list[str], application: bytes) -> None:
    (tmp_path / "source").write_bytes(b"source" * 1000)
    (tmp_path / "target").write_bytes(b"source" * 999 + b"target")
    command = ["xdelta3", "-e", "-c", *options, "-s", "source", "target"]
    delta = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    assert read_header(delta) == Header(application)


@pytest.mark.parametrize(
    "options",
    [["-A=nonce"], ["-A"], [], ["-9", "-S", "djw"], ["-S", "lzma"], ["-n"]],
    ids=["nonce", "none", "names", "djw", "lzma", "no checksum"],
)
def test_xdelta3_decodes_to_the_same_after_another_application_header(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "source").write_bytes(b"source" * 1000)
    (tmp_path / "target").write_bytes(b"source" * 999 + bytes(range(256)) * 9)
    command = ["xdelta3", "-e", "-c", *options, "-s", "source", "target"]
    delta = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    other = with_application(delta, b"another nonce" * 20)
    assert read_header(other) == Header(b"another nonce" * 20)
    (tmp_path / "delta").write_bytes(other)
    command = ["xdelta3", "-d", "-c", "-s", "source", "delta"]
    decoded = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    assert decoded == (tmp_path / "target").read_bytes()
