"""Keys and names: which object a key means, and what a name says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket/a/b.zip", ("bucket", "a/b.zip")),
        ("S3://bucket/a//b/", ("bucket", "a//b/")),
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a?b#c%20 d", ("bucket", "a?b#c%20 d")),
    ],
)
def test_a_url_is_a_bucket_and_a_key(url: str, parts: tuple[str, str]) -> None:
    assert keys.parse_url(url) == parts


@pytest.mark.parametrize("url", ["", "bucket/key", "s3:/bucket/key", "s3:///key", "http://bucket/key", "s3://"])
def test_anything_else_is_no_url(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="s3://bucket/key"):
        keys.parse_url(url)


@given(st.text(min_size=1, max_size=60))
def test_the_stored_keys_of_any_key_lead_back_to_it(key: str) -> None:
    assert keys.logical_key(keys.delta_key(key)) == key
    reference = keys.reference_key(keys.deltaspace(key))
    assert keys.is_internal(reference)
    assert keys.deltaspace(reference) == keys.deltaspace(key) or key.startswith("/")
    assert keys.is_reserved(keys.delta_key(key))


@pytest.mark.parametrize(
    ("key", "space", "reference"),
    [
        ("a.zip", "", "reference.bin"),
        ("a/b.zip", "a", "a/reference.bin"),
        ("a/b/c.zip", "a/b", "a/b/reference.bin"),
        ("a//c.zip", "a/", "a//reference.bin"),
        ("/c.zip", "", "reference.bin"),
    ],
)
def test_a_folder_shares_one_reference(key: str, space: str, reference: str) -> None:
    assert keys.deltaspace(key) == space
    assert keys.reference_key(space) == reference


@pytest.mark.parametrize(
    "key", ["reference.bin", "a/reference.bin", "a.delta", ".delta", "a/.deltaglider/x", ".deltaglider/x/y"]
)
def test_names_of_the_format_are_reserved(key: str) -> None:
    with pytest.raises(InvalidRequestError, match="belong to the storage format"):
        keys.check_writable("bucket", key)


@pytest.mark.parametrize("key", ["a.deltas", "delta", "reference.bin.zip", "areference.bin", ".deltaglider2/x", "a/b"])
def test_names_like_them_are_not(key: str) -> None:
    keys.check_writable("bucket", key)


def test_a_key_is_measured_in_bytes() -> None:
    assert keys.fits("k" * 1024)
    assert not keys.fits("k" * 1025)
    assert not keys.fits("ü" * 513)
