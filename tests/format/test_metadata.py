"""Metadata of stored objects: what is written is read, and whatever is there is understood or refused."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.errors import IntegrityMismatchError, InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta

NAMES = [
    f"{before}{name.replace('-', separator)}"
    for name in meta._FIELDS
    for before, separator in (("dg-", "-"), ("dg_", "_"), ("", "_"), ("", "-"))
]
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
VALUES = st.text(max_size=30) | DIGESTS | DIGESTS.map(str.upper) | st.integers().map(str) | st.just("٣")
METADATA = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), VALUES, max_size=12)
KEYS = st.text(string.ascii_lowercase + "/.-", min_size=1, max_size=40).map(lambda key: f"{key}.delta")


@given(METADATA, KEYS)
def test_any_metadata_is_a_value_or_one_kind_of_error(metadata: dict[str, str], key: str) -> None:
    try:
        parsed = meta.DeltaMetadata.parse(metadata, key)
    except IntegrityMismatchError as error:
        assert key in str(error)
        assert "dg-" in str(error)
        return
    assert parsed.file_size >= 0
    assert len(parsed.file_sha256) == len(parsed.ref_sha256) == 64
    assert parsed.ref_key
    assert meta.is_delta(metadata)


@given(METADATA)
def test_any_metadata_can_be_asked_anything(metadata: dict[str, str]) -> None:
    meta.is_delta(metadata)
    meta.fits(metadata)
    recorded = meta.recorded_sha256(metadata)
    assert recorded is None or len(bytes.fromhex(recorded)) == 32
    assert not {key for key in meta.user_part(metadata) if key.startswith(("dg-", "dg_"))}


@given(DIGESTS, st.integers(0, 2**50), st.text(string.printable, max_size=20), DIGESTS, KEYS)
def test_what_is_written_is_read(sha256: str, size: int, name: str, ref_sha256: str, key: str) -> None:
    written = meta.DeltaMetadata(
        file_sha256=sha256,
        file_size=size,
        ref_key=keys.reference_key(keys.deltaspace(key)),
        ref_sha256=ref_sha256,
        original_name=name,
        delta_size=17,
        delta_cmd="xdelta3",
    )
    encoded = written.encode()
    assert all(value.isascii() and value.isprintable() for value in encoded.values())
    read = meta.DeltaMetadata.parse(encoded, key)
    assert (read.file_sha256, read.file_size, read.ref_key, read.ref_sha256, read.delta_size) == (
        sha256, size, written.ref_key, ref_sha256, 17,
    )  # fmt: skip
    assert meta.recorded_sha256(encoded) == sha256
    assert meta.user_part(encoded | {"team": "core"}) == {"team": "core"}
    # As a server might send the names back.
    assert meta.DeltaMetadata.parse({key.title(): value for key, value in encoded.items()}, key) == read
    assert meta.recorded_sha256({key.title(): value for key, value in encoded.items()}) == sha256


REQUIRED_BY_THE_ORIGINAL = {
    "dg-tool", "dg-original-name", "dg-file-sha256", "dg-file-size", "dg-created-at", "dg-ref-key", "dg-ref-sha256",
    "dg-delta-size",
}  # fmt: skip
DELTA = meta.DeltaMetadata("a" * 64, 100, "a/reference.bin", "b" * 64, "1.zip", 10, "xdelta3")


def test_the_original_finds_all_that_it_asks_for() -> None:
    encoded = DELTA.encode(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert encoded.keys() >= REQUIRED_BY_THE_ORIGINAL
    assert all(encoded.values())
    assert encoded["dg-created-at"] == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("name", ["codec", "note", "file-size", "file_sha256", "ref-path", "ref-key", "delta_size"])
def test_a_users_own_name_is_not_taken_for_ours(name: str) -> None:
    """The bare spellings are those of old writers, which had no `dg-` beside them."""
    assert meta.DeltaMetadata.parse({name: "mine"} | DELTA.encode(), "a/1.zip.delta") == DELTA


@pytest.mark.parametrize("missing", ["file-sha256", "file-size", "ref-sha256"])
@pytest.mark.parametrize("value", [None, "", "wrong", "-1"])
def test_what_cannot_be_done_without_is_named(missing: str, value: str | None) -> None:
    encoded = DELTA.encode()
    del encoded[f"dg-{missing}"]
    if value is not None:
        encoded[f"dg-{missing}"] = value
    with pytest.raises(IntegrityMismatchError, match=f"dg-{missing}"):
        meta.DeltaMetadata.parse(encoded, "a/1.zip.delta")


@pytest.mark.parametrize("left_out", ["tool", "original-name", "created-at", "ref-key", "delta-size", "delta-cmd"])
def test_what_can_be_done_without_is(left_out: str) -> None:
    encoded = DELTA.encode()
    del encoded[f"dg-{left_out}"]
    assert meta.DeltaMetadata.parse(encoded, "a/1.zip.delta").ref_key == "a/reference.bin"


def test_a_path_of_the_proxy_is_relative_to_the_delta() -> None:
    encoded = DELTA.encode() | {"dg-ref-path": "reference.bin"}
    assert meta.DeltaMetadata.parse(encoded, "x/y/1.zip.delta").ref_key == "x/y/reference.bin"
    assert meta.DeltaMetadata.parse(encoded, "1.zip.delta").ref_key == "reference.bin"


def test_names_that_are_not_ascii_are_spelled_in_ascii() -> None:
    assert meta.DeltaMetadata("a" * 64, 1, "größe/reference.bin", "b" * 64).encode()["dg-ref-key"].isascii()
    assert meta.reference_metadata("größe.zip", "a" * 64)["dg-source-name"] == "gr%C3%B6%C3%9Fe.zip"
    encoded = meta.DeltaMetadata("a" * 64, 1, "größe/reference.bin", "b" * 64).encode()
    assert meta.DeltaMetadata.parse(encoded, "größe/1.zip.delta").ref_key == "größe/reference.bin"


def test_a_key_with_a_percent_sign_is_found_beside_the_delta() -> None:
    encoded = meta.DeltaMetadata("a" * 64, 1, "50%/reference.bin", "b" * 64).encode()
    assert meta.DeltaMetadata.parse(encoded, "50%/1.zip.delta").ref_key == "50%/reference.bin"


def test_the_limit_counts_names_and_values_in_bytes() -> None:
    assert meta.fits({"a": "x" * 2047})
    assert not meta.fits({"a": "x" * 2048})
    assert not meta.fits({"a": "ü" * 1024})


@pytest.mark.parametrize("name", ["dg-x", "DG-Tool", "dg_tool", "Dg_x"])
def test_names_of_ours_are_refused_to_users(name: str) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        meta.check_user_metadata({"team": "core", name: "x"})
