"""Puts on a real server: what is stored, what comes back, and what a put that fails leaves behind."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    DiffEncodeError,
    IntegrityMismatchError,
    InvalidRequestError,
    LocalIOError,
    NotFoundError,
    PreconditionFailedError,
    SourceChangedError,
    StorageIOError,
)
from tests.engine.conftest import MakeClient, content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1)


async def stored(s3: S3Client, bucket: str) -> dict[str, str]:
    """Everything in the bucket as stored: key to ETag, and the open multipart uploads."""

    def look() -> dict[str, str]:
        names = {item["Key"]: item["ETag"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
        uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return names | {upload["Key"]: "unfinished upload" for upload in uploads}

    return await asyncio.to_thread(look)


async def read(client: DeltaGliderClient, bucket: str, key: str, **arguments: Any) -> bytes:
    response = await client.get_object(Bucket=bucket, Key=key, **arguments)
    async with response["Body"] as body:
        data: bytes = await body.read()
    return data


async def test_the_first_file_becomes_the_reference_and_the_second_a_delta(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    first = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    second = await client.put_object(Bucket=bucket, Key="a/2.zip", Body=version(BASE, 2))
    assert first["DeltaGliderInfo"]["Operation"] == "create_reference"
    assert second["DeltaGliderInfo"]["Operation"] == "create_delta"
    assert second["DeltaGliderInfo"]["StoredSize"] < 1000
    assert set(await stored(s3, bucket)) == {"a/reference.bin", "a/1.zip.delta", "a/2.zip.delta"}
    assert await read(client, bucket, "a/1.zip") == BASE
    assert await read(client, bucket, "a/2.zip") == version(BASE, 2)


async def test_the_same_bytes_never_make_the_same_delta(client: DeltaGliderClient, bucket: str) -> None:
    etags = set()
    for _ in range(3):
        etags.add((await client.put_object(Bucket=bucket, Key="1.zip", Body=BASE))["ETag"])
    assert len(etags) == 3


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_what_a_put_says_of_the_object_comes_back(
    client: DeltaGliderClient, bucket: str, s3: S3Client, key: str
) -> None:
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    put = await client.put_object(
        Bucket=bucket,
        Key=key,
        Body=version(BASE, 1),
        Metadata={"Build": "17", "branch": "main"},
        ContentType="application/zip",
        CacheControl="max-age=60",
        Tagging="team=core&keep=yes",
        StorageClass="STANDARD_IA",
        ServerSideEncryption="AES256",
        use_delta=None,
    )
    head = await client.head_object(Bucket=bucket, Key=key)
    get = await client.get_object(Bucket=bucket, Key=key)
    listed = (await client.list_objects_v2(Bucket=bucket, Prefix=key))["Contents"][0]
    digest = base64.b64encode(hashlib.sha256(version(BASE, 1)).digest()).decode()
    for answer in (head, get):
        assert answer["Metadata"] == {"build": "17", "branch": "main"}
        assert (answer["ContentType"], answer["CacheControl"]) == ("application/zip", "max-age=60")
        assert (answer["StorageClass"], answer["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
        assert answer["ContentLength"] == len(BASE)
        assert answer["ChecksumSHA256"] == digest
        assert answer["ETag"] == put["ETag"] == listed["ETag"]
    await get["Body"].aclose()
    name = key + (".delta" if put["DeltaGliderInfo"]["IsDelta"] else "")
    tags = await asyncio.to_thread(s3.get_object_tagging, Bucket=bucket, Key=name)
    assert {tag["Key"]: tag["Value"] for tag in tags["TagSet"]} == {"team": "core", "keep": "yes"}
    with pytest.raises(client.exceptions.ClientError) as not_modified:
        await client.get_object(Bucket=bucket, Key=key, IfNoneMatch=put["ETag"])
    assert not_modified.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304


async def test_other_encryption_than_the_references_is_stored_plain(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE, ServerSideEncryption="AES256")
    put = await client.put_object(
        Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1), ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1"
    )
    assert put["DeltaGliderInfo"]["StoredAs"] == "plain"
    assert "encryption" in (put["DeltaGliderInfo"]["Reason"] or "")
    assert await read(client, bucket, "a/1.zip") == version(BASE, 1)


async def test_max_ratio_decides(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await client.put_object(Bucket=bucket, Key="0.zip", Body=BASE)
    half = BASE[:150_000] + content(2, 150_000)
    kept = await client.put_object(Bucket=bucket, Key="1.zip", Body=half, max_ratio=0.6)
    ratio = kept["DeltaGliderInfo"]["CompressionRatio"]
    assert kept["DeltaGliderInfo"]["IsDelta"]
    assert 0.5 < ratio < 0.51
    exact = await client.put_object(Bucket=bucket, Key="1.zip", Body=half, max_ratio=ratio)
    assert exact["DeltaGliderInfo"]["IsDelta"]
    refused = await client.put_object(Bucket=bucket, Key="2.zip", Body=half, max_ratio=ratio - 1e-5)
    assert refused["DeltaGliderInfo"]["StoredAs"] == "plain"
    assert "max_ratio" in (refused["DeltaGliderInfo"]["Reason"] or "")
    assert await read(client, bucket, "2.zip") == half
    none = await client.put_object(Bucket=bucket, Key="new/1.zip", Body=half, max_ratio=0)
    assert none["DeltaGliderInfo"]["StoredAs"] == "plain"
    assert set(await stored(s3, bucket)) == {"reference.bin", "0.zip.delta", "1.zip.delta", "2.zip", "new/1.zip"}


async def test_a_file_too_large_for_a_reference_is_stored_plain(make_client: MakeClient, bucket: str) -> None:
    async with make_client(max_reference_size="200000") as client:
        put = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    assert "DG_MAX_REFERENCE_SIZE" in (put["DeltaGliderInfo"]["Reason"] or "")


async def test_plain_stays_plain(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await asyncio.to_thread(lambda: s3.put_object(Bucket=bucket, Key="a/1.zip", Body=b"from another tool"))
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    assert await read(client, bucket, "a/1.zip") == b"from another tool"
    put = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1))
    assert put["DeltaGliderInfo"]["StoredAs"] == "plain"
    assert "a/1.zip.delta" not in await stored(s3, bucket)


async def test_a_plain_put_removes_the_older_delta(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    for number in range(2):
        await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(BASE, number))
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=b"plain now", use_delta=False)
    assert set(await stored(s3, bucket)) == {"a/reference.bin", "a/0.zip.delta", "a/1.zip"}
    assert await read(client, bucket, "a/1.zip") == b"plain now"


def noted_puts(client: DeltaGliderClient, monkeypatch: pytest.MonkeyPatch, failing: int = 0) -> list[str]:
    """Keys that PutObject writes from now on. The first so many references fail on their way."""
    written: list[str] = []
    store, left = client._engine.store, failing
    put = store.put

    async def noted(bucket: str, key: str, *args: Any, **arguments: Any) -> Any:
        nonlocal left
        written.append(key)
        if key.endswith("reference.bin") and left:
            left -= 1
            await asyncio.sleep(0.2)
            raise StorageIOError("the line broke")
        return await put(bucket, key, *args, **arguments)

    monkeypatch.setattr(store, "put", noted)
    return written


async def test_of_many_first_files_one_sends_the_reference(
    client: DeltaGliderClient, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"a/{number}.zip": version(BASE, number) for number in range(6)}
    written = noted_puts(client, monkeypatch)
    puts = (client.put_object(Bucket=bucket, Key=key, Body=body) for key, body in files.items())
    operations = Counter(result["DeltaGliderInfo"]["Operation"] for result in await asyncio.gather(*puts))
    assert operations == {"create_reference": 1, "create_delta": 5}
    assert written.count("a/reference.bin") == 1
    assert set(await stored(s3, bucket)) == {"a/reference.bin", *(f"{key}.delta" for key in files)}
    for key, body in files.items():
        assert await read(client, bucket, key) == body


async def test_who_waited_for_a_reference_that_failed_goes_on_alone(
    client: DeltaGliderClient, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"a/{number}.zip": version(BASE, number) for number in range(4)}
    noted_puts(client, monkeypatch, failing=1)
    puts = (client.put_object(Bucket=bucket, Key=key, Body=body) for key, body in files.items())
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(result) for result in results].count(StorageIOError) == 1
    assert not client._engine.firsts
    for (key, body), result in zip(files.items(), results, strict=True):
        if isinstance(result, dict):
            assert await read(client, bucket, key) == body
        else:
            assert f"{key}.delta" not in await stored(s3, bucket)


async def test_who_waited_for_a_put_that_was_cancelled_goes_on_alone(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = asyncio.Event()
    store, put = client._engine.store, client._engine.store.put

    async def held(bucket: str, key: str, *args: Any, **arguments: Any) -> Any:
        if not arrived.is_set():
            arrived.set()
            await asyncio.sleep(3600)
        return await put(bucket, key, *args, **arguments)

    monkeypatch.setattr(store, "put", held)
    first = asyncio.create_task(client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE))
    await arrived.wait()
    second = asyncio.create_task(client.put_object(Bucket=bucket, Key="a/2.zip", Body=version(BASE, 2)))
    await asyncio.sleep(0.3)
    assert not second.done()
    first.cancel()
    assert (await second)["DeltaGliderInfo"]["Operation"] == "create_reference"
    assert await read(client, bucket, "a/2.zip") == version(BASE, 2)


async def test_put_survives_losing_the_reference_race(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = client._engine.store
    send = store.put

    async def late(bucket: str, key: str, *rest: Any, **arguments: Any) -> Any:
        if key.endswith("reference.bin"):
            async with make_client() as winner:
                await winner.put_object(Bucket=bucket, Key="a/winner.zip", Body=version(BASE, 1))
            monkeypatch.undo()
        return await send(bucket, key, *rest, **arguments)

    monkeypatch.setattr(store, "put", late)
    put = await client.put_object(Bucket=bucket, Key="a/loser.zip", Body=version(BASE, 2))
    assert put["DeltaGliderInfo"]["Operation"] == "create_delta"
    assert await read(client, bucket, "a/winner.zip") == version(BASE, 1)
    assert await read(client, bucket, "a/loser.zip") == version(BASE, 2)


@pytest.mark.parametrize("replacement", [None, content(7)])
async def test_a_reference_that_vanishes_during_a_put_is_mended(
    client: DeltaGliderClient, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch, replacement: bytes | None
) -> None:
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    store = client._engine.store
    send = store.put

    async def then_lose_the_reference(bucket: str, key: str, *rest: Any, **arguments: Any) -> Any:
        monkeypatch.undo()
        response = await send(bucket, key, *rest, **arguments)

        def interfere() -> None:
            s3.delete_object(Bucket=bucket, Key="a/reference.bin")
            if replacement is not None:
                digest = hashlib.sha256(replacement).hexdigest()
                s3.put_object(
                    Bucket=bucket, Key="a/reference.bin", Body=replacement, Metadata={"dg-file-sha256": digest}
                )

        await asyncio.to_thread(interfere)
        return response

    monkeypatch.setattr(store, "put", then_lose_the_reference)
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1))
    await client.clear_cache()
    assert await read(client, bucket, "a/1.zip") == version(BASE, 1)
    if replacement is None:
        assert await read(client, bucket, "a/0.zip") == BASE


async def test_if_none_match_creates_only_what_is_not_there(client: DeltaGliderClient, bucket: str) -> None:
    created = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE, IfNoneMatch="*")
    assert created["DeltaGliderInfo"]["StoredAs"] == "plain"
    await client.put_object(Bucket=bucket, Key="a/2.zip", Body=BASE)
    for key in ("a/1.zip", "a/2.zip"):
        with pytest.raises(PreconditionFailedError) as refused:
            await client.put_object(Bucket=bucket, Key=key, Body=b"other", IfNoneMatch="*")
        assert isinstance(refused.value, client.exceptions.ClientError)
        assert await read(client, bucket, key) == BASE


async def test_if_match_swaps_the_form_that_has_the_etag(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    delta = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1))
    swapped = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=content(9), IfMatch=delta["ETag"])
    assert swapped["DeltaGliderInfo"]["IsDelta"]
    assert await read(client, bucket, "a/1.zip") == content(9)
    with pytest.raises(PreconditionFailedError):
        await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE, IfMatch=delta["ETag"])
    assert await read(client, bucket, "a/1.zip") == content(9)
    plain = await client.put_object(Bucket=bucket, Key="a/1.txt", Body=b"1")
    await client.put_object(Bucket=bucket, Key="a/1.txt", Body=b"2", IfMatch=plain["ETag"])
    with pytest.raises(PreconditionFailedError):
        await client.put_object(Bucket=bucket, Key="a/1.txt", Body=b"3", IfMatch=plain["ETag"])
    assert await read(client, bucket, "a/1.txt") == b"2"


async def test_if_match_on_nothing_is_refused(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    for key in ("a/1.zip", "a/1.txt"):
        with pytest.raises((PreconditionFailedError, NotFoundError)):
            await client.put_object(Bucket=bucket, Key=key, Body=BASE, IfMatch='"0123"')
    assert not await stored(s3, bucket)


@pytest.mark.parametrize(
    "key", ["reference.bin", "a/reference.bin", "a/1.zip.delta", ".deltaglider/x", "a/.deltaglider/b/c"]
)
async def test_reserved_names_are_refused(client: DeltaGliderClient, bucket: str, s3: S3Client, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="belong to the storage format"):
        await client.put_object(Bucket=bucket, Key=key, Body=BASE)
    assert not await stored(s3, bucket)


async def test_metadata_that_leaves_no_room_is_stored_plain(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    metadata = {"notes": "x" * 1900}
    put = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1), Metadata=metadata)
    assert put["DeltaGliderInfo"]["StoredAs"] == "plain"
    assert (await client.head_object(Bucket=bucket, Key="a/1.zip"))["Metadata"] == metadata
    with pytest.raises(InvalidRequestError, match="DG-Tool"):
        await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE, Metadata={"DG-Tool": "x"})


async def test_a_key_without_room_for_the_suffix_is_stored_plain(client: DeltaGliderClient, bucket: str) -> None:
    key = "k" * 1016 + ".zip"
    put = await client.put_object(Bucket=bucket, Key=key, Body=BASE)
    assert put["DeltaGliderInfo"]["StoredAs"] == "plain"
    assert await read(client, bucket, key) == BASE


async def test_non_ascii_names_come_back(client: DeltaGliderClient, bucket: str) -> None:
    for number in range(2):
        await client.put_object(Bucket=bucket, Key=f"größe/版本-{number}.zip", Body=version(BASE, number))
    await client.clear_cache()
    assert await read(client, bucket, "größe/版本-1.zip") == version(BASE, 1)


async def test_long_streams_of_unknown_length(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    data = content(3, 9 << 20)

    async def body(data: bytes = data) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 700_000):
            yield data[start : start + 700_000]

    plain = await client.put_object(Bucket=bucket, Key="a/1.bin", Body=body(data * 2))
    assert plain["DeltaGliderInfo"]["OriginalSize"] == 2 * len(data)
    assert "ChecksumSHA256" not in await client.head_object(Bucket=bucket, Key="a/1.bin")
    assert await read(client, bucket, "a/1.bin") == data * 2
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=body())
    second = await client.put_object(Bucket=bucket, Key="a/2.zip", Body=body())
    assert second["DeltaGliderInfo"]["StoredSize"] < 1000
    assert await read(client, bucket, "a/2.zip") == data
    other = data[::-1]
    for length in (None, len(data)):  # with the length known, the encoder is stopped early
        unrelated = await client.put_object(Bucket=bucket, Key="a/3.zip", Body=body(other), ContentLength=length)
        assert unrelated["DeltaGliderInfo"]["StoredAs"] == "plain"
        assert await read(client, bucket, "a/3.zip") == other
    assert "unfinished upload" not in (await stored(s3, bucket)).values()


async def test_a_large_delta_is_sent_in_parts(client: DeltaGliderClient, bucket: str) -> None:
    old, new = content(3, 18 << 20), content(4, 17 << 20)
    await client.put_object(Bucket=bucket, Key="0.zip", Body=old)
    large = await client.put_object(Bucket=bucket, Key="1.zip", Body=old + new)
    assert large["DeltaGliderInfo"]["IsDelta"]
    assert large["DeltaGliderInfo"]["StoredSize"] > 16 << 20
    assert large["ETag"].strip('"').endswith("-3")
    assert await read(client, bucket, "1.zip") == old + new


async def test_a_file_that_changes_while_it_is_read_is_not_stored(
    client: DeltaGliderClient, bucket: str, s3: S3Client, tmp_path: Path
) -> None:
    path = tmp_path / "growing.zip"
    path.write_bytes(content(4, 20 << 20))
    await client.put_object(Bucket=bucket, Key="0.zip", Body=BASE)
    before = await stored(s3, bucket)

    def grow(phase: str, position: int) -> None:
        os.truncate(path, (20 << 20) + 1)

    def rewrite(phase: str, position: int) -> None:
        os.truncate(path, 19 << 20)
        os.truncate(path, 20 << 20)

    # A delta is made in one pass, which only growth can disturb; what is refused is read again.
    for interfere, key in ((grow, "a.txt"), (rewrite, "a.txt"), (grow, "a.zip"), (rewrite, "a.zip")):
        with pytest.raises(SourceChangedError, match=r"growing\.zip changed while it was read"):
            await client.put_object(Bucket=bucket, Key=key, Body=path, progress=interfere)
        assert await stored(s3, bucket) == before


async def test_what_cannot_be_read_is_one_clear_error(client: DeltaGliderClient, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(LocalIOError, match=r"cannot read .*nothing\.zip: No such file") as missing:
        await client.put_object(Bucket=bucket, Key="a.zip", Body=tmp_path / "nothing.zip")
    assert missing.value.errno == 2
    with pytest.raises(LocalIOError, match="it is a folder"):
        await client.put_object(Bucket=bucket, Key="a.zip", Body=tmp_path)
    with pytest.raises(InvalidRequestError, match="Accepted: bytes"):
        await client.put_object(Bucket=bucket, Key="a.zip", Body=17)
    with pytest.raises(InvalidRequestError, match="opened as text"):
        await client.put_object(Bucket=bucket, Key="a.zip", Body=io.StringIO("text"))


async def test_no_xdelta3_is_one_clear_error(make_client: MakeClient, bucket: str, s3: S3Client) -> None:
    async with make_client(xdelta3="/nowhere/xdelta3") as client:
        with pytest.raises(CodecUnavailableError, match=r"apt-get install xdelta3.*DG_XDELTA3"):
            await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
        await client.put_object(Bucket=bucket, Key="a.txt", Body=BASE)
    assert set(await stored(s3, bucket)) == {"a.txt"}


@pytest.mark.parametrize("program", ["/bin/false", "/bin/true"])
async def test_an_xdelta3_that_ends_at_once_is_one_clear_error(
    make_client: MakeClient, bucket: str, s3: S3Client, program: str
) -> None:
    async with make_client(xdelta3=program) as client:
        for _ in range(10):
            with pytest.raises((DiffEncodeError, DiffDecodeError)):
                await client.put_object(Bucket=bucket, Key="a.zip", Body=content(1, 3 << 20))
    assert not await stored(s3, bucket)


async def test_metadata_must_be_text(client: DeltaGliderClient, bucket: str) -> None:
    wrong: Any = {"a": 1}
    with pytest.raises(InvalidRequestError, match=r"Metadata\.a, value: 1"):
        await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE, Metadata=wrong)


async def test_a_full_disk_is_one_clear_error(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    async def body() -> AsyncIterator[bytes]:
        for seed in range(20):
            yield content(seed, 1 << 20)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(LocalIOError, match=r"temporary folder.*TMPDIR"):
            await client.put_object(Bucket=bucket, Key="a.zip", Body=body())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not await stored(s3, bucket)


async def test_a_missing_bucket_is_one_clear_error(client: DeltaGliderClient) -> None:
    with pytest.raises(NotFoundError, match="create_bucket") as missing:
        await client.put_object(Bucket="there-is-no-such-bucket", Key="a.zip", Body=BASE)
    assert isinstance(missing.value, client.exceptions.NoSuchBucket)


async def test_a_wrong_checksum_is_refused(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    right = base64.b64encode(hashlib.sha256(BASE).digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    for key in ("a.zip", "a.txt"):
        with pytest.raises(InvalidRequestError, match="ChecksumSHA256"):
            await client.put_object(Bucket=bucket, Key=key, Body=BASE, ChecksumSHA256=wrong)
    assert not await stored(s3, bucket)
    assert (await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE, ChecksumSHA256=right))[
        "ChecksumSHA256"
    ] == right


async def test_a_checksum_of_a_long_body_is_not_dropped(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    async def body() -> AsyncIterator[bytes]:
        for seed in range(17):
            yield content(seed, 1 << 20)

    wrong = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    # Neither Python nor S3, which sees parts, computes it.
    crc32c: dict[str, Any] = {"ChecksumCRC32C": "AAAAAA=="}
    with pytest.raises(InvalidRequestError, match="cannot be checked for a body that is sent in parts"):
        await client.put_object(Bucket=bucket, Key="a.txt", Body=body(), **crc32c)
    with pytest.raises(InvalidRequestError, match="ChecksumSHA256 is"):
        await client.put_object(Bucket=bucket, Key="a.txt", Body=body(), ChecksumSHA256=wrong)
    assert not await stored(s3, bucket)


async def test_a_put_from_a_silent_pipe_can_be_cancelled(client: DeltaGliderClient, bucket: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        sink.write(b"some of it")
        with anyio.move_on_after(0.5) as scope:
            await client.put_object(Bucket=bucket, Key="a.txt", Body=source)
        assert scope.cancelled_caught


async def test_misspelled_arguments_are_refused(client: DeltaGliderClient, bucket: str) -> None:
    with pytest.raises(InvalidRequestError, match="ContentTyp"):
        await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE, ContentTyp="x")  # type: ignore[call-arg]


def leftovers() -> tuple[int, int, set[str]]:
    """Child processes, open descriptors other than sockets, and files in the temporary folder."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    descriptors = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if not target.startswith(("socket:", "/proc")):
            descriptors.append(target)
    return len(children), len(descriptors), {path.name for path in Path(tempfile.gettempdir()).iterdir()}


@pytest.fixture
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder in which only this test leaves something."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.mark.usefixtures("own_temporary_folder")
async def test_a_cancelled_put_leaves_nothing_behind(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    """At two dozen moments over the length of a put that spools, encodes, sends parts and creates a reference."""
    data = content(5, 24 << 20)

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]

    begun = time.perf_counter()
    await client.put_object(Bucket=bucket, Key="whole/1.zip", Body=body())
    duration = time.perf_counter() - begun
    await client._engine.cache.settle()
    before, baseline = leftovers(), await stored(s3, bucket)
    for step in range(12):
        with anyio.move_on_after(duration * step / 12):
            await client.put_object(Bucket=bucket, Key="cut/1.zip", Body=body())
        task = asyncio.ensure_future(client.put_object(Bucket=bucket, Key="cut/2.zip", Body=body()))
        await asyncio.sleep(duration * (12 - step) / 24)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client._engine.cache.settle()
        assert leftovers() == before
    after = await stored(s3, bucket)
    assert "unfinished upload" not in after.values()
    assert after.items() >= baseline.items()
    for key in ("cut/1.zip", "cut/2.zip"):
        if f"{key}.delta" in after:
            assert await read(client, bucket, key) == data


@pytest.mark.usefixtures("own_temporary_folder")
async def test_a_body_that_fails_leaves_nothing_behind(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    async def body(size: int) -> AsyncIterator[bytes]:
        for seed in range(size):
            yield content(seed, 1 << 20)
        raise ConnectionResetError("the uploader went away")

    await client.put_object(Bucket=bucket, Key="0.zip", Body=BASE)
    await client._engine.cache.settle()
    before, baseline = leftovers(), await stored(s3, bucket)
    for size in (0, 3, 9, 20):
        for key in ("1.zip", "new/1.zip", "1.txt"):
            with pytest.raises(ConnectionResetError, match="the uploader went away"):
                await client.put_object(Bucket=bucket, Key=key, Body=body(size))
            assert (leftovers(), await stored(s3, bucket)) == (before, baseline)


async def test_a_cached_reference_in_use_is_nowhere_in_plain(
    make_client: MakeClient, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No named file holds any 64 bytes of it, while an encoder and a decoder have it open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    data = content(6, 6 << 20)
    async with make_client(cache_dir=str(tmp_path / "cache")) as client:
        for number in range(2):
            await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(data, number))
        response = await client.get_object(Bucket=bucket, Key="a/1.zip")
        async with response["Body"] as body, aclosing(_endless(data)) as upload:
            await body.read(1000)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: client.put_object(Bucket=bucket, Key="a/2.zip", Body=upload))
                await anyio.sleep(0.3)
                found = await asyncio.to_thread(_search, tmp_path, version(data, 0))
                tasks.cancel_scope.cancel()
        assert found[0] > len(data)  # the sealed entry was there and was looked at
        assert found[1] == 0


async def _endless(data: bytes) -> AsyncGenerator[bytes, None]:
    while True:
        yield data[: 1 << 20]
        await anyio.sleep(0.01)


def _search(folder: Path, plain: bytes) -> tuple[int, int]:
    """Bytes looked at, and how many aligned 64-byte pieces of `plain` occur in them at any offset."""
    pieces = {plain[start : start + 64] for start in range(0, len(plain) - 64, 64)}
    looked, hits = 0, 0
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            looked += len(data)
            # Whatever 127 bytes of the plain text occur somewhere hold one whole aligned piece.
            hits += sum(data[start : start + 64] in pieces for start in range(0, len(data) - 64))
    return looked, hits


async def test_a_damaged_reference_is_never_used(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    for number in range(2):
        await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(BASE, number))

    def damage() -> None:
        head = s3.head_object(Bucket=bucket, Key="a/reference.bin")
        data = bytearray(s3.get_object(Bucket=bucket, Key="a/reference.bin")["Body"].read())
        data[1000] ^= 1
        s3.put_object(Bucket=bucket, Key="a/reference.bin", Body=bytes(data), Metadata=head["Metadata"])

    await asyncio.to_thread(damage)
    await client.clear_cache()
    before = await stored(s3, bucket)
    with pytest.raises(IntegrityMismatchError):
        await read(client, bucket, "a/1.zip")
    with pytest.raises(IntegrityMismatchError):
        await client.put_object(Bucket=bucket, Key="a/2.zip", Body=version(BASE, 2))
    assert await stored(s3, bucket) == before


async def test_an_unrelated_file_costs_no_encoder_and_no_download(make_client: MakeClient, bucket: str) -> None:
    base, other = os.urandom(5 << 20), os.urandom(5 << 20)
    async with make_client() as client:
        await client.put_object(Bucket=bucket, Key="a/1.zip", Body=base)
    async with make_client(xdelta3="/nonexistent/xdelta3") as client:
        afar = await client.put_object(Bucket=bucket, Key="a/2.zip", Body=other)
        assert client._engine.cache.stored_size() == 0
        with pytest.raises(CodecUnavailableError):
            await client.put_object(Bucket=bucket, Key="a/3.zip", Body=base[1:])
        at_hand = await client.put_object(Bucket=bucket, Key="a/3.zip", Body=other)
    for response in (afar, at_hand):
        info = response["DeltaGliderInfo"]
        assert info["Operation"] == "upload_direct"
        assert info["Reason"] == "too little of it is in the deltaspace's reference"
        assert info["CompressionRatio"] > 0.5
