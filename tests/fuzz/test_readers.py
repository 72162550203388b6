"""The readers of what comes from a bucket, on anything: a value in range, or the one kind of error that is theirs."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deltaglider_async.codec import xdelta
from deltaglider_async.codec.vcdiff import LONGEST_HEADER, MAGIC, PROGRAMS, Header, read_header
from deltaglider_async.engine.extent import parse_range
from deltaglider_async.errors import DeltaGliderError, DiffDecodeError, IntegrityMismatchError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from tests.vcdiff import number

SHA256 = re.compile("[0-9a-f]{64}")
LARGEST = (1 << 63) - 1

# -- the header of a delta

LETTERS = st.sampled_from([b"", b"B", b"G", b"Y", b"Z", b"Q", b"GG", b"\0", b"G\0", b"/"]) | st.binary(max_size=3)
APPLICATION = st.lists(LETTERS, max_size=6).map(b"/".join) | st.binary(max_size=200)
LENGTHS = st.integers(0, 2 * LONGEST_HEADER) | st.integers(0, 1 << 80) | st.sampled_from([(1 << 32) - 1, 1 << 64])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Mostly the beginning of a delta, right or wrong in one place or another."""
    version, flags = draw(st.sampled_from([b"\0"] * 5 + [b"S", b"\x01"])), draw(st.integers(0, 255) | st.just(4))
    application = draw(APPLICATION)
    length = draw(st.sampled_from([len(application)]) | LENGTHS)
    padding = b"\x80" * draw(st.integers(0, 12) if draw(st.booleans()) else st.just(0))
    secondary = draw(st.binary(min_size=1, max_size=1)) if flags & 1 else b""
    head = MAGIC + version + bytes([flags]) + secondary + padding + number(length) + application
    return head + draw(st.binary(max_size=50))


@settings(deadline=None)
@given(st.binary(max_size=300) | heads())
@example(MAGIC + b"\0\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
@example(MAGIC + b"\0\x05\x02\x80\x00")
def test_any_head_of_a_delta(head: bytes) -> None:
    try:
        header = read_header(head)
    except DiffDecodeError as error:
        assert str(error)
        return
    # It is known as soon as it is there, and before that nothing else is believed.
    first = next((length for length in range(len(head) + 1) if read_header(head[:length]) is not None), None)
    assert (first is None) == (header is None)
    if header is not None:
        assert first is not None
        assert read_header(head[:first]) == header
        assert len(header.application) <= LONGEST_HEADER
        assert head[:first].endswith(header.application)


@settings(deadline=None)
@given(APPLICATION, st.integers(0, LARGEST))
def test_any_application_header(application: bytes, size: int) -> None:
    header = Header(application)
    try:
        programs = header.programs
    except DiffDecodeError as error:
        assert str(error)
        return
    assert len(programs) <= 2
    assert set(programs) <= set(PROGRAMS.values())
    assert application.count(b"/", 0, (application + b"\0").index(b"\0")) <= 3
    limits, plain = xdelta.limits_of(header, size), xdelta.limits_of(Header(b""), size)
    assert limits.cpu is not None
    assert limits.memory is not None
    assert plain.cpu is not None
    assert limits.cpu >= plain.cpu >= xdelta.CPU_FLOOR
    assert plain.memory == xdelta.MEMORY <= limits.memory
    assert (xdelta.largest_delta(header, size) is None) == bool(programs)


# -- metadata

#: Headers are bytes; those that are no UTF-8 arrive as lone surrogates.
TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
SPELLINGS = [
    spelling(f"{before}{name.replace('-', separator)}")
    for name in meta._FIELDS
    for before, separator in (("dg-", "-"), ("dg_", "_"), ("", "_"), ("", "-"))
    for spelling in (str, str.title, str.upper)
]
DIGESTS = st.from_regex("[0-9a-fA-F]{64}", fullmatch=True)
NUMBERS = st.integers(-10, 1 << 70).map(str) | st.sampled_from(["9" * 5000, "0" * 5000, "\u0663", "\u00b2", " 1"])
VALUES = TEXT | DIGESTS | NUMBERS | st.sampled_from(["reference.bin", "../x", "/x", "k" * 2000, "ü" * 600, "\udcff"])
DAMAGED = st.dictionaries(st.sampled_from(SPELLINGS) | TEXT, VALUES, max_size=15)
#: All that is needed, so that what else is there gets its turn.
COMPLETE = st.fixed_dictionaries(
    {"dg-file-sha256": DIGESTS, "dg-ref-sha256": DIGESTS, "dg-file-size": st.integers(0, LARGEST).map(str)}
)
LEAST = {"dg-file-size": "1", "dg-file-sha256": "a" * 64, "dg-ref-sha256": "a" * 64}
METADATA = DAMAGED | st.builds(lambda complete, more: {**complete, **more}, COMPLETE, DAMAGED)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).map(lambda key: f"{key}.delta")


@settings(deadline=None)
@given(METADATA, KEYS)
@example({"dg-file-size": "9" * 5000, "dg-file-sha256": "a" * 64, "dg-ref-sha256": "a" * 64}, "a/b.delta")
@example(
    {"dg-file-size": "1", "dg-file-sha256": "a" * 64, "dg-ref-sha256": "a" * 64, "dg-ref-path": "\udcff"}, "a/b.delta"
)
def test_any_metadata_of_a_delta(metadata: dict[str, str], key: str) -> None:
    assert isinstance(meta.is_delta(metadata), bool)
    try:
        delta = meta.DeltaMetadata.parse(metadata, key, "bucket")
    except IntegrityMismatchError as error:
        assert key in str(error)
        return
    assert 0 <= delta.file_size <= LARGEST
    assert delta.delta_size is None or 0 <= delta.delta_size <= LARGEST
    assert SHA256.fullmatch(delta.file_sha256)
    assert SHA256.fullmatch(delta.ref_sha256)
    assert delta.ref_key
    assert delta.ref_key == keys.reference_key(keys.deltaspace(key)) or keys.fits(delta.ref_key)


@settings(deadline=None)
@given(METADATA, st.booleans())
def test_any_metadata(metadata: dict[str, str], bare: bool) -> None:
    recorded = meta.recorded_sha256(metadata, bare=bare)
    assert recorded is None or SHA256.fullmatch(recorded)
    user = meta.user_part(metadata)
    assert user.items() <= {name.lower(): value for name, value in metadata.items()}.items()
    assert not any(name.startswith(("dg-", "dg_")) for name in user)
    for name in meta._FIELDS:
        assert meta.field(metadata, name) in (None, *metadata.values())


# -- what a reader asks for


@settings(deadline=None)
@given(st.tuples(NUMBERS | st.just(""), NUMBERS | st.just("")).map("-".join) | TEXT, st.integers(0, LARGEST))
@example("9" * 5000 + "-", 10)
@example("0-\u0663", 10)
def test_any_range(asked: str, size: int) -> None:
    try:
        found = parse_range(f"bytes={asked}", size, "name")
    except DeltaGliderError:
        return
    assert found is None or 0 <= found[0] < found[1] <= size
