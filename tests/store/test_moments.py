"""Moments of S3's answers: whatever is read the short way is what botocore reads."""

from __future__ import annotations

from datetime import datetime

import pytest
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async import create_client
from deltaglider_async.store import moments
from deltaglider_async.store.moments import moment


def assert_same(text: str) -> None:
    ours, theirs = moment(text), parse_timestamp(text)
    assert (ours, repr(ours)) == (theirs, repr(theirs))


@given(st.datetimes(datetime(1000, 1, 1)))
def test_moments_are_read_as_botocore_reads_them(when: datetime) -> None:
    assert_same(f"{when:%Y-%m-%dT%H:%M:%S}Z")
    for digits in (1, 3, 6):
        assert_same(f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06}"[: 20 + digits] + "Z")
    assert_same(f"{when:%a, %d %b %Y %H:%M:%S} GMT")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T20:01:51",
        "2026-11-25T20:01:51+02:00", "2026-11-25T20:01:51.123456789Z", "1700000000", "1700000000.5",
        "Wed, 25 Nov 2026 20:01:51 +0100", "25 Nov 2026 20:01:51 GMT", "2026-11-25", "20261125T200151Z",
    ],
)  # fmt: skip
def test_other_spellings_are_botocores(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(text)
    monkeypatch.setattr(moments, "parse_timestamp", lambda text: text)
    assert moment(text) == text


@pytest.mark.parametrize("text", ["Wed, 31 Feb 2026 20:01:51 GMT", "2026-13-01T00:00:00Z", "never", ""])
def test_what_is_no_moment_raises_what_botocore_raises(text: str) -> None:
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        parse_timestamp(text)
    with pytest.raises(type(theirs.value)):
        moment(text)


async def test_listings_are_read_so(s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with create_client(endpoint_url=s3_endpoint) as client:
        await client.put_object(Bucket=bucket, Key="a.txt", Body=b"1")
        monkeypatch.setattr(moments, "parse_timestamp", lambda text: pytest.fail(f"botocore reads {text}"))
        [item] = (await client.list_objects_v2(Bucket=bucket))["Contents"]
        assert item["LastModified"].tzinfo is not None
