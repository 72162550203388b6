"""Ids, temporary keys and travelling arguments of multipart uploads."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.format import keys, uploads

NAME = "0123456789abcdef" * 2


@given(st.text(min_size=1))
def test_an_id_is_url_safe_and_comes_back(upload_id: str) -> None:
    upload_id = upload_id.encode(errors="replace").decode()
    made = uploads.encode_id(NAME, upload_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", made)
    assert uploads.decode_id(made) == (NAME, upload_id)


@pytest.mark.parametrize(
    "foreign", ["", "dg-", f"dg-{NAME}", f"dg-{NAME}-", f"dg-{NAME}-_", f"dg-{NAME}-____", "2~abc", "a.b_c-d"]
)
def test_other_ids_are_of_uploads_at_the_key_itself(foreign: str) -> None:
    assert uploads.decode_id(foreign) is None


@given(st.text().filter(lambda key: key and not key.endswith("/") and not keys.is_reserved(key)))
def test_the_logical_key_is_in_the_temporary_one(key: str) -> None:
    temporary = keys.multipart_key(key, NAME)
    assert keys.is_internal(temporary)
    assert keys.multipart_target(temporary) == (key, NAME)
    assert temporary.startswith(keys.multipart_folder(key))


@pytest.mark.parametrize(
    "other",
    [
        "app.zip",
        f".deltaglider/multipart/{NAME}",
        f".deltaglider/multipart/{NAME}/",
        f".deltaglider/multipart/{NAME}/a/b.zip",
        f".deltaglider/multipart/{NAME[1:]}/b.zip",
        f".deltaglider/multipart/{NAME}/reference.bin",
        f".deltaglider/multipart/{NAME}/1.zip.delta",
        f"x.deltaglider/multipart/{NAME}/1.zip",
    ],
)
def test_other_keys_are_no_temporary_ones(other: str) -> None:
    assert keys.multipart_target(other) is None


def test_arguments_come_back() -> None:
    arguments = {
        "Tagging": "a=b&c=ä",
        "BucketKeyEnabled": True,
        "Expires": datetime(2030, 1, 2, tzinfo=UTC),
        "ChecksumAlgorithm": "CRC32",
        "ACL": None,
    }
    packed = uploads.pack(arguments, None)
    assert packed.isascii()
    kept = {"Tagging": "a=b&c=ä", "BucketKeyEnabled": True, "Expires": "2030-01-02T00:00:00+00:00"}
    assert uploads.unpack(packed) == (kept, None)
    for damaged in ("", "x", "e30=", "W10="):
        with pytest.raises(ValueError):
            uploads.unpack(damaged)


def test_an_etag_tells_of_its_parts() -> None:
    tags = [hashlib.md5(part, usedforsecurity=False).hexdigest() for part in (b"a", b"b")]
    etag = f'"{hashlib.md5(bytes.fromhex("".join(tags)), usedforsecurity=False).hexdigest()}-2"'
    parts = [{"PartNumber": number, "ETag": f'"{tag}"'} for number, tag in enumerate(tags, 1)]
    assert uploads.made_of(etag, parts)
    assert not uploads.made_of(etag, parts[::-1])
    assert not uploads.made_of(etag, parts[:1])
    assert uploads.made_of('"no-md5"', parts[:1])
    assert uploads.made_of(etag, [{"ETag": "no MD5"}, {"ETag": "x"}])
    # Under KMS, all ETags are some 32 digits, and no MD5.
    assert uploads.made_of(etag, parts[::-1], opaque=True)
    assert not uploads.made_of(etag, parts[:1], opaque=True)
