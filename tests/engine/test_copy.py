"""Copies on real servers: what is stored, what was moved, and that nothing is decoded that need not be."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from botocore.exceptions import ParamValidationError

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.codec.process import stream_through
from deltaglider_async.engine import copy as copying
from deltaglider_async.engine.copy_source import parse_source, unmet
from deltaglider_async.engine.put import ATTEMPTS
from deltaglider_async.engine.write_delta import create_reference
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    IntegrityMismatchError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ReferenceCreationRaceError,
    StorageIOError,
)
from deltaglider_async.session import create_client
from deltaglider_async.store import s3 as store_s3
from deltaglider_async.store.conditions import Operation
from deltaglider_async.types import CopyObjectResponse
from tests.engine.conftest import MakeClient, content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1)


class Processes:
    """How many xdelta3 processes were started, of which each decode is one."""

    def __init__(self) -> None:
        self.started = 0


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, by_xdelta3: None) -> Iterator[Processes]:
    counted = Processes()

    def counting(*arguments: Any) -> Any:
        counted.started += 1
        return stream_through(*arguments)

    monkeypatch.setattr("deltaglider_async.codec.xdelta.stream_through", counting)
    yield counted


async def read(client: DeltaGliderClient, bucket: str, key: str) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        data: bytes = await body.read()
    return data


async def names(client: DeltaGliderClient, bucket: str) -> set[str]:
    return {item["Key"] async for page in client._engine.store.pages(bucket) for item in page.get("Contents", ())}


async def releases(client: DeltaGliderClient, bucket: str, folder: str = "a", count: int = 2) -> None:
    for number in range(count):
        await client.put_object(Bucket=bucket, Key=f"{folder}/{number}.zip", Body=version(BASE, number))


async def copy(client: DeltaGliderClient, bucket: str, source: str, key: str, **arguments: Any) -> CopyObjectResponse:
    return await client.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/{source}", **arguments)


async def meanwhile(
    monkeypatch: pytest.MonkeyPatch,
    client: DeltaGliderClient,
    method: str,
    action: Callable[[], Awaitable[Any]],
    *,
    once: bool = False,
) -> list[int]:
    """Before each call of a method of the store, or the first, do something. Returns a list with one entry for each."""
    done: list[int] = []
    original = getattr(client._engine.store, method)

    async def instead(*arguments: Any, **named: Any) -> Any:
        if method == "get" and "Range" in arguments[-1]:  # a look at how many tags there are
            return await original(*arguments, **named)
        monkeypatch.setattr(client._engine.store, method, original)  # not within the action
        done.append(1)
        await action()
        if not once:
            monkeypatch.setattr(client._engine.store, method, instead)
        return await original(*arguments, **named)

    monkeypatch.setattr(client._engine.store, method, instead)
    return done


# -- a delta that is moved


async def test_a_delta_is_moved_within_its_folder_without_decoding(
    client: DeltaGliderClient, bucket: str, processes: Processes
) -> None:
    await releases(client, bucket)
    processes.started = 0
    before = await client.head_object(Bucket=bucket, Key="a/1.zip")
    copied = await copy(client, bucket, "a/1.zip", "a/ü.bin")
    assert processes.started == 0
    assert await names(client, bucket) == {"a/reference.bin", "a/0.zip.delta", "a/1.zip.delta", "a/ü.bin.delta"}
    assert await read(client, bucket, "a/ü.bin") == version(BASE, 1) == await read(client, bucket, "a/1.zip")

    result, info = copied["CopyObjectResult"], copied["DeltaGliderInfo"]
    after = await client.head_object(Bucket=bucket, Key="a/ü.bin")
    assert result["ETag"] == after["ETag"] != before["ETag"]
    assert isinstance(result["LastModified"], datetime)
    assert base64.b64decode(result["ChecksumSHA256"]) == hashlib.sha256(version(BASE, 1)).digest()
    assert (info["Operation"], info["StoredAs"], info["IsDelta"]) == ("copy_delta", "delta", True)
    assert (info["OriginalSize"], info["ReferenceKey"]) == (len(BASE), "a/reference.bin")
    assert "ETag" not in copied


async def test_a_moved_deltas_metadata_is_of_its_new_place(client: DeltaGliderClient, bucket: str) -> None:
    await releases(client, bucket)
    await releases(client, bucket, "b", 1)
    store = client._engine.store
    old = await store.head_existing(bucket, "a/1.zip.delta")
    await copy(client, bucket, "a/1.zip", "b/2.zip")
    new = await store.head_existing(bucket, "b/2.zip.delta")
    same = ("dg-file-sha256", "dg-file-size", "dg-ref-sha256", "dg-delta-cmd", "dg-delta-size", "dg-tool")
    assert {name: old["Metadata"][name] for name in same} == {name: new["Metadata"][name] for name in same}
    assert (new["Metadata"]["dg-original-name"], new["Metadata"]["dg-ref-key"]) == ("2.zip", "b/reference.bin")
    assert new["Metadata"]["dg-created-at"] != old["Metadata"]["dg-created-at"]
    assert int(new["Metadata"]["dg-delta-size"]) == new["ContentLength"]


@pytest.mark.parametrize("from_shell", [True, False], ids=["file names", "no header"])
async def test_the_header_of_another_tool_is_replaced(
    client: DeltaGliderClient, bucket: str, processes: Processes, tmp_path: Path, from_shell: bool
) -> None:
    """The original leaves file names in it; a header without any gets one."""
    await releases(client, bucket, count=1)
    await anyio.Path(tmp_path / "local-name").write_bytes(version(BASE, 5))
    await anyio.Path(tmp_path / "reference").write_bytes(version(BASE, 0))
    command = ["xdelta3", "-e", "-c", *([] if from_shell else ["-A"]), "-s", "reference", "local-name"]
    delta = (await anyio.run_process(command, cwd=tmp_path)).stdout
    assert (b"local-name" in delta, delta[4] & 4) == ((True, 4) if from_shell else (False, 0))
    head = await client._engine.store.head_existing(bucket, "a/0.zip.delta")
    sha256 = hashlib.sha256(version(BASE, 5)).hexdigest()
    metadata = head["Metadata"] | {"dg-file-sha256": sha256, "dg-delta-size": str(len(delta))}
    await client._s3.put_object(Bucket=bucket, Key="a/5.zip.delta", Body=delta, Metadata=metadata)

    processes.started = 0
    await copy(client, bucket, "a/5.zip", "a/6.zip")
    assert processes.started == 0
    moved = await (await client._s3.get_object(Bucket=bucket, Key="a/6.zip.delta"))["Body"].read()
    assert moved != delta and b"local-name" not in moved and moved[4] & 4
    assert await read(client, bucket, "a/6.zip") == version(BASE, 5)


async def test_where_there_is_no_reference_the_sources_is_created_once(
    client: DeltaGliderClient, bucket: str, s3: S3Client, processes: Processes
) -> None:
    other = f"test-{secrets.token_hex(8)}"
    await client.create_bucket(Bucket=other)
    await releases(client, bucket)
    processes.started = 0
    first, second = [
        await client.copy_object(Bucket=other, Key=f"b/{n}.zip", CopySource={"Bucket": bucket, "Key": f"a/{n}.zip"})
        for n in range(2)
    ]
    assert processes.started == 0
    assert [x["DeltaGliderInfo"]["Operation"] for x in (first, second)] == ["copy_reference", "copy_delta"]
    assert first["DeltaGliderInfo"]["StoredAs"] == "reference+delta"
    assert len(BASE) < first["DeltaGliderInfo"]["StoredSize"] < len(BASE) + 5000
    assert await names(client, other) == {"b/reference.bin", "b/0.zip.delta", "b/1.zip.delta"}
    await client.clear_cache()
    for number in range(2):
        assert await read(client, other, f"b/{number}.zip") == version(BASE, number)
    stats = await client.get_bucket_stats(other, "detailed")
    assert (stats.object_count, stats.delta_objects, stats.total_size) == (2, 2, 2 * len(BASE))


async def test_two_clients_copying_into_a_new_folder_share_one_reference(
    make_client: MakeClient, client: DeltaGliderClient, bucket: str
) -> None:
    await releases(client, bucket)
    await client.put_object(Bucket=bucket, Key="c/0.zip", Body=content(2))

    async def go(source: str, key: str) -> None:
        async with make_client() as own:
            await copy(own, bucket, source, key)

    async with anyio.create_task_group() as tasks:
        for number, source in enumerate(("a/0.zip", "a/1.zip", "c/0.zip", "a/1.zip")):
            tasks.start_soon(go, source, f"b/{number}.zip")
    expected = [version(BASE, 0), version(BASE, 1), content(2), version(BASE, 1)]
    for number, data in enumerate(expected):
        assert await read(client, bucket, f"b/{number}.zip") == data


async def test_the_winner_of_a_race_for_the_reference_is_used(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releases(client, bucket)
    async with make_client() as other:

        async def late(*arguments: Any) -> Any:
            monkeypatch.undo()
            await other.put_object(Bucket=bucket, Key="b/other.zip", Body=content(3))
            return await create_reference(*arguments)

        monkeypatch.setattr("deltaglider_async.engine.move.create_reference", late)
        copied = await copy(client, bucket, "a/1.zip", "b/1.zip")
    assert copied["DeltaGliderInfo"]["Operation"] == "upload_direct"  # of no use against the other's reference
    assert await read(client, bucket, "b/1.zip") == version(BASE, 1)
    assert await read(client, bucket, "b/other.zip") == content(3)


async def test_a_reference_that_never_stays_ends_the_attempts(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releases(client, bucket)
    tries = []

    async def lost(*arguments: Any) -> None:
        tries.append(arguments)

    monkeypatch.setattr("deltaglider_async.engine.move.create_reference", lost)
    with pytest.raises(ReferenceCreationRaceError, match="reference of the destination"):
        await copy(client, bucket, "a/1.zip", "b/1.zip")
    assert len(tries) == ATTEMPTS
    assert not any(name.startswith("b/") for name in await names(client, bucket))


async def test_a_reference_that_goes_under_a_moved_delta_is_put_back(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releases(client, bucket)
    await read(client, bucket, "a/1.zip")  # the reference is cached now

    async def drop() -> None:
        await client._s3.delete_object(Bucket=bucket, Key="a/reference.bin")

    await meanwhile(monkeypatch, client, "put", drop, once=True)
    await copy(client, bucket, "a/1.zip", "a/2.zip")
    assert "a/reference.bin" in await names(client, bucket)
    await client.clear_cache()
    for key in ("a/1.zip", "a/2.zip"):
        assert await read(client, bucket, key) == version(BASE, 1)


# -- a delta that is decoded


async def test_against_another_reference_a_delta_is_encoded_anew(
    client: DeltaGliderClient, bucket: str, processes: Processes
) -> None:
    await releases(client, bucket)
    await client.put_object(Bucket=bucket, Key="b/9.zip", Body=version(BASE, 9))
    processes.started = 0
    copied = await copy(client, bucket, "a/1.zip", "b/1.zip", MetadataDirective="COPY")
    assert copied["DeltaGliderInfo"]["Operation"] == "create_delta"
    assert processes.started == 2  # decode, and the proof
    assert "b/1.zip.delta" in await names(client, bucket)
    assert await read(client, bucket, "b/1.zip") == version(BASE, 1)


@pytest.mark.parametrize("why", ["plain form", "long key", "customer's key", "encryption", "metadata", "max_ratio"])
async def test_what_a_put_would_store_plain_is_decoded(
    make_client: MakeClient, client: DeltaGliderClient, bucket: str, processes: Processes, why: str
) -> None:
    await releases(client, bucket)
    arguments: dict[str, Any] = {}
    key = "a/2.zip"
    if why == "plain form":
        await client.put_object(Bucket=bucket, Key=key, Body=b"plain", use_delta=False)
    elif why == "long key":
        key = "a/" + "x" * 1020
    elif why == "customer's key":
        arguments = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    elif why == "encryption":
        arguments = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
    elif why == "metadata":
        arguments = {"MetadataDirective": "REPLACE", "Metadata": {"long": "x" * 1750}}
    async with make_client(max_ratio=0.0001 if why == "max_ratio" else 0.5) as own:
        processes.started = 0
        copied = await copy(own, bucket, "a/1.zip", key, **arguments)
    assert copied["DeltaGliderInfo"]["StoredAs"] == "plain"
    if why != "metadata":  # found out by a put that tries a delta
        assert processes.started == 1
    names_now = await names(client, bucket)
    assert key in names_now
    assert f"{key}.delta" not in names_now
    if why != "customer's key":
        assert await read(client, bucket, key) == version(BASE, 1)
        head = await client.head_object(Bucket=bucket, Key=key)
        assert base64.b64decode(head["ChecksumSHA256"]) == hashlib.sha256(version(BASE, 1)).digest()


async def test_a_large_delta_is_decoded_once_and_keeps_its_digest(
    make_client: MakeClient, bucket: str, processes: Processes
) -> None:
    base = content(4, 20_000_000)
    async with make_client() as client:
        await client.put_object(Bucket=bucket, Key="a/0.zip", Body=base)
        await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(base, 1))
    async with make_client(max_ratio=0) as client:
        processes.started = 0
        copied = await copy(client, bucket, "a/1.zip", "b/1.zip")
        assert processes.started == 1
        head = await client.head_object(Bucket=bucket, Key="b/1.zip")
        digest = base64.b64encode(hashlib.sha256(version(base, 1)).digest()).decode()
        assert head["ChecksumSHA256"] == digest == copied["CopyObjectResult"]["ChecksumSHA256"]
        assert await read(client, bucket, "b/1.zip") == version(base, 1)


async def test_an_unknown_codec_is_refused(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await releases(client, bucket)
    head = await asyncio.to_thread(s3.head_object, Bucket=bucket, Key="a/1.zip.delta")
    await asyncio.to_thread(
        s3.copy_object,
        Bucket=bucket,
        Key="a/1.zip.delta",
        CopySource={"Bucket": bucket, "Key": "a/1.zip.delta"},
        Metadata=head["Metadata"] | {"dg-codec": "inflate/2"},
        MetadataDirective="REPLACE",
    )
    before = await names(client, bucket)
    with pytest.raises(CodecUnavailableError, match="inflate/2"):
        await copy(client, bucket, "a/1.zip", "a/2.zip")
    assert await names(client, bucket) == before


async def test_a_delta_that_recompresses_is_decoded_and_put_plain(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, processes: Processes
) -> None:
    """Old deltas whose header asks for gzip cannot lose it: it says how they are decoded."""
    payload = b"".join(b"%d line\n" % number for number in range(5000))
    for name, data in (("0.tar.gz", payload), ("1.tar.gz", payload + b"more")):
        path = anyio.Path(tmp_path / name.removesuffix(".gz"))
        await path.write_bytes(data)
        await anyio.run_process(["gzip", "-n", str(path)])
    command = ["xdelta3", "-e", "-c", "-9", "-s", "0.tar.gz", "1.tar.gz"]
    delta = (await anyio.run_process(command, cwd=tmp_path)).stdout
    zero, one = [await anyio.Path(tmp_path / f"{number}.tar.gz").read_bytes() for number in range(2)]
    digests = [hashlib.sha256(data).hexdigest() for data in (zero, one)]
    await client._s3.put_object(
        Bucket=bucket, Key="a/reference.bin", Body=zero, Metadata={"dg-file-sha256": digests[0]}
    )
    metadata = {
        "dg-file-sha256": digests[1], "dg-file-size": str(len(one)), "dg-ref-key": "a/reference.bin",
        "dg-ref-sha256": digests[0], "dg-delta-size": str(len(delta)),
    }  # fmt: skip
    await client._s3.put_object(Bucket=bucket, Key="a/1.tar.gz.delta", Body=delta, Metadata=metadata)
    assert await read(client, bucket, "a/1.tar.gz") == one
    await copy(client, bucket, "a/1.tar.gz", "a/2.tar.gz")
    assert "a/2.tar.gz" in await names(client, bucket)
    assert await read(client, bucket, "a/2.tar.gz") == one


async def test_a_damaged_delta_is_not_copied(client: DeltaGliderClient, bucket: str) -> None:
    await releases(client, bucket)
    stored = await client._s3.get_object(Bucket=bucket, Key="a/1.zip.delta")
    delta = await stored["Body"].read()
    await client._s3.put_object(Bucket=bucket, Key="a/1.zip.delta", Body=delta[:-40], Metadata=stored["Metadata"])
    before = await names(client, bucket)
    with pytest.raises((IntegrityMismatchError, DiffDecodeError), match=r"a/1\.zip"):
        await copy(client, bucket, "a/1.zip", "b/2.zip")
    assert await names(client, bucket) == before


# -- a plain form


async def test_an_answer_that_cannot_be_a_delta_is_closed_unread(client: DeltaGliderClient, bucket: str) -> None:
    await releases(client, bucket)
    place = {"Bucket": bucket, "Key": "a/1.zip.delta"}
    async with (found := await client._s3.get_object(**place))["Body"] as body:
        data = await body.read()
    await client._s3.put_object(**place, Body=data + bytes(4_000_000), Metadata=found["Metadata"])
    await client.put_object(Bucket=bucket, Key="b/0.zip", Body=content(9))  # against which it is made anew
    answers: list[Any] = []
    client.meta.events.register("after-call.s3.GetObject", lambda parsed, **_: answers.append(parsed))
    with pytest.raises(IntegrityMismatchError, match="were recorded when it was put"):
        await copy(client, bucket, "a/1.zip", "b/1.zip", MetadataDirective="REPLACE")
    assert answers
    assert all(answer["Body"].closed for answer in answers)


async def test_a_plain_form_is_copied_by_the_service(
    client: DeltaGliderClient, bucket: str, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.put_object(
        Bucket=bucket, Key="a/1.txt", Body=b"text", Metadata={"owner": "me"}, ContentType="x/y", Tagging="t=1"
    )

    async def never() -> None:
        raise AssertionError("the bytes went through this machine")

    await meanwhile(monkeypatch, client, "get", never)
    await meanwhile(monkeypatch, client, "put", never)
    copied = await copy(client, bucket, "a/1.txt", "b/2.zip")
    monkeypatch.undo()
    assert copied["DeltaGliderInfo"]["Operation"] == "copy_plain"
    head = await client.head_object(Bucket=bucket, Key="b/2.zip")
    assert (head["Metadata"], head["ContentType"]) == ({"owner": "me"}, "x/y")
    assert head["ChecksumSHA256"] == copied["CopyObjectResult"]["ChecksumSHA256"]
    assert await names(client, bucket) == {"a/1.txt", "b/2.zip"}
    assert await tags(client, bucket, "b/2.zip") == {"t": "1"}
    assert await read(client, bucket, "b/2.zip") == b"text"


async def tags(client: DeltaGliderClient, bucket: str, stored: str) -> dict[str, str]:
    answer = await client._s3.get_object_tagging(Bucket=bucket, Key=stored)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


async def test_a_plain_copy_over_a_delta_removes_it_and_a_delta_over_a_plain_form_stays_plain(
    client: DeltaGliderClient, bucket: str
) -> None:
    await releases(client, bucket)
    await client.put_object(Bucket=bucket, Key="p.txt", Body=b"plain")
    await copy(client, bucket, "p.txt", "a/1.zip")
    assert await names(client, bucket) == {"p.txt", "a/reference.bin", "a/0.zip.delta", "a/1.zip"}
    await copy(client, bucket, "a/0.zip", "a/1.zip")
    assert await names(client, bucket) == {"p.txt", "a/reference.bin", "a/0.zip.delta", "a/1.zip"}
    assert await read(client, bucket, "a/1.zip") == version(BASE, 0)


async def test_a_newer_delta_survives_a_plain_copy(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releases(client, bucket)
    await client.put_object(Bucket=bucket, Key="p.txt", Body=b"plain")
    async with make_client() as other:
        await meanwhile(
            monkeypatch, client, "copy", lambda: other.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 7))
        )
        await copy(client, bucket, "p.txt", "a/1.zip")
    assert "a/1.zip.delta" in await names(client, bucket)  # leftover, hidden
    assert await read(client, bucket, "a/1.zip") == b"plain"


@pytest.mark.parametrize("trusted", [True, False])
async def test_replaced_metadata_keeps_our_part_where_the_source_can_be_pinned(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    await client.put_object(Bucket=bucket, Key="1.txt", Body=b"text", Metadata={"old": "1"})
    monkeypatch.setattr(client._engine.conditions, "trusted", trusted)
    await copy(client, bucket, "1.txt", "2.txt", MetadataDirective="REPLACE", Metadata={"new": "2"})
    stored = await client._engine.store.head_existing(bucket, "2.txt")
    assert stored["Metadata"]["new"] == "2"
    assert ("dg-file-sha256" in stored["Metadata"]) == trusted
    assert (await client.head_object(Bucket=bucket, Key="2.txt"))["Metadata"] == {"new": "2"}
    with pytest.raises(InvalidRequestError, match="dg-"):
        await copy(client, bucket, "1.txt", "2.txt", MetadataDirective="REPLACE", Metadata={"dg-file-size": "2"})


async def test_an_object_too_large_for_one_call_is_copied_in_parts(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content(5, 13_000_000)
    await client.put_object(
        Bucket=bucket, Key="1.bin", Body=data, Metadata={"owner": "me"}, ContentType="x/y", Tagging="t=1"
    )
    monkeypatch.setattr(copying, "LARGEST_SINGLE_COPY", 8_000_000)
    monkeypatch.setattr(store_s3, "_COPIED_PART", 6_000_000)
    for trusted in (True, False):
        monkeypatch.setattr(client._engine.conditions, "trusted", trusted)
        seen: list[tuple[str, int]] = []
        copied = await copy(
            client, bucket, "1.bin", "2.bin", progress=lambda phase, position, seen=seen: seen.append((phase, position))
        )
        assert copied["DeltaGliderInfo"]["Operation"] == ("copy_plain" if trusted else "upload_direct")
        assert seen[-1] == ("sending", len(data))
        head = await client.head_object(Bucket=bucket, Key="2.bin")
        assert (head["Metadata"], head["ContentType"]) == ({"owner": "me"}, "x/y")
        assert head["ETag"] == copied["CopyObjectResult"]["ETag"]
        assert await read(client, bucket, "2.bin") == data
        assert await tags(client, bucket, "2.bin") == {"t": "1"}
    uploads = await client._s3.list_multipart_uploads(Bucket=bucket)
    assert not uploads.get("Uploads")


async def test_a_part_that_fails_leaves_nothing(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.put_object(Bucket=bucket, Key="1.bin", Body=content(5, 9_000_000))
    monkeypatch.setattr(copying, "LARGEST_SINGLE_COPY", 8_000_000)
    monkeypatch.setattr(store_s3, "_COPIED_PART", 6_000_000)
    monkeypatch.setattr(client._engine.conditions, "trusted", True)

    async def broken(**_: Any) -> None:
        raise StorageIOError("broken")

    monkeypatch.setattr(client._s3, "upload_part_copy", broken)
    with pytest.raises(StorageIOError, match="broken"):
        await copy(client, bucket, "1.bin", "2.bin")
    assert not (await client._s3.list_multipart_uploads(Bucket=bucket)).get("Uploads")
    assert await names(client, bucket) == {"1.bin"}


# -- both forms


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
@pytest.mark.parametrize("to", ["a/2.zip", "b/2.zip", "c/2.zip", "a/plain.zip"])
async def test_directives_decide_what_is_taken_over(client: DeltaGliderClient, bucket: str, key: str, to: str) -> None:
    await releases(client, bucket, count=1)
    await client.put_object(Bucket=bucket, Key="c/0.zip", Body=version(BASE, 9))
    await client.put_object(Bucket=bucket, Key="a/plain.zip", Body=b"plain", use_delta=False)
    expires = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    await client.put_object(
        Bucket=bucket, Key=key, Body=version(BASE, 1), Metadata={"owner": "me"}, ContentType="x/y",
        CacheControl="no-store", ContentDisposition="inline", ContentLanguage="de", Expires=expires,
        Tagging="t=1&u=a%20b",
    )  # fmt: skip
    await copy(client, bucket, key, to, ContentType="ignored/type", StorageClass="STANDARD_IA")
    head = await client.head_object(Bucket=bucket, Key=to)
    assert (head["Metadata"], head["ContentType"]) == ({"owner": "me"}, "x/y")
    assert (head["CacheControl"], head["ContentDisposition"]) == ("no-store", "inline")
    assert (head["ContentLanguage"], head["Expires"], head["StorageClass"]) == ("de", expires, "STANDARD_IA")
    found = to if to in await names(client, bucket) else f"{to}.delta"
    assert await tags(client, bucket, found) == {"t": "1", "u": "a b"}

    await copy(
        client, bucket, key, to, MetadataDirective="REPLACE", Metadata={"owner": "you"}, ContentType="new/type",
        TaggingDirective="REPLACE", Tagging="v=2",
    )  # fmt: skip
    head = await client.head_object(Bucket=bucket, Key=to)
    assert (head["Metadata"], head["ContentType"]) == ({"owner": "you"}, "new/type")
    assert not head.get("CacheControl")
    assert await tags(client, bucket, found) == {"v": "2"}
    assert await read(client, bucket, to) == version(BASE, 1)


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_conditions_on_the_source_speak_of_the_object(client: DeltaGliderClient, bucket: str, key: str) -> None:
    await releases(client, bucket, count=1)
    put = await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
    day = timedelta(days=1)
    modified = (await client.head_object(Bucket=bucket, Key=key))["LastModified"]
    holds: list[dict[str, Any]] = [
        {"CopySourceIfMatch": put["ETag"]},
        {"CopySourceIfNoneMatch": '"other"'},
        {"CopySourceIfModifiedSince": modified - day},
        {"CopySourceIfUnmodifiedSince": modified + day},
        {"CopySourceIfMatch": put["ETag"], "CopySourceIfUnmodifiedSince": modified - day},
    ]
    for number, condition in enumerate(holds):
        await copy(client, bucket, key, f"a/good-{number}.zip", **condition)
        assert await read(client, bucket, f"a/good-{number}.zip") == version(BASE, 1)
    fails: list[dict[str, Any]] = [
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": put["ETag"]},
        {"CopySourceIfModifiedSince": modified + day},
        {"CopySourceIfUnmodifiedSince": modified - day},
        {"CopySourceIfNoneMatch": put["ETag"], "CopySourceIfModifiedSince": modified - day},
    ]
    before = await names(client, bucket)
    for condition in fails:
        with pytest.raises(PreconditionFailedError) as failed:
            await copy(client, bucket, key, "a/bad.zip", **condition)
        assert isinstance(failed.value, client.exceptions.ClientError)
        assert failed.value.response["Error"]["Code"] == "PreconditionFailed"
        assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert await names(client, bucket) == before


def test_conditions_take_every_spelling_of_a_moment() -> None:
    modified = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    for moment in (modified, "2024-05-06T07:08:09Z", "Mon, 06 May 2024 07:08:09 GMT", modified.timestamp()):
        assert unmet({"CopySourceIfUnmodifiedSince": moment}, '"e"', modified) is None
        assert unmet({"CopySourceIfModifiedSince": moment}, '"e"', modified) == "CopySourceIfModifiedSince"
    assert unmet({"CopySourceIfMatch": "e", "CopySourceIfNoneMatch": None}, '"e"', modified) is None


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_conditions_on_the_destination_are_those_of_a_put(
    client: DeltaGliderClient, bucket: str, key: str
) -> None:
    await releases(client, bucket, count=1)
    await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
    await copy(client, bucket, key, "a/new.zip", IfNoneMatch="*")
    assert await read(client, bucket, "a/new.zip") == version(BASE, 1)
    for taken in ("a/new.zip", "a/0.zip"):
        with pytest.raises(PreconditionFailedError):
            await copy(client, bucket, key, taken, IfNoneMatch="*")
        with pytest.raises(PreconditionFailedError):
            await copy(client, bucket, key, taken, IfMatch='"00000000000000000000000000000000"')
    etag = (await client.head_object(Bucket=bucket, Key="a/0.zip"))["ETag"]
    await copy(client, bucket, key, "a/0.zip", IfMatch=etag)
    assert await read(client, bucket, "a/0.zip") == version(BASE, 1)
    assert "a/0.zip.delta" in await names(client, bucket)  # the form that had the ETag


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_a_copy_onto_itself_must_change_something(
    client: DeltaGliderClient, bucket: str, processes: Processes, key: str
) -> None:
    await releases(client, bucket, count=1)
    put = await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1), Metadata={"old": "1"})
    before = await names(client, bucket)
    with pytest.raises(client.exceptions.ClientError) as refused:
        await copy(client, bucket, key, key)
    assert refused.value.response["Error"]["Code"] == "InvalidRequest"
    processes.started = 0
    copied = await copy(client, bucket, key, key, MetadataDirective="REPLACE", Metadata={"new": "2"})
    assert processes.started == 0
    assert await names(client, bucket) == before
    assert (await client.head_object(Bucket=bucket, Key=key))["Metadata"] == {"new": "2"}
    if key.endswith(".zip"):
        assert copied["CopyObjectResult"]["ETag"] != put["ETag"]
    await copy(client, bucket, key, key, StorageClass="STANDARD_IA")
    head = await client.head_object(Bucket=bucket, Key=key)
    assert (head["Metadata"], head["StorageClass"]) == ({"new": "2"}, "STANDARD_IA")
    assert await read(client, bucket, key) == version(BASE, 1)


async def test_a_delta_that_is_put_while_it_is_copied_onto_itself_is_not_undone(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releases(client, bucket)
    async with make_client() as other:

        async def put() -> None:
            await other.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 8))

        assert await client._engine.conditions.keeps(bucket, "a", "PutObject", "IfMatch", {})
        await meanwhile(monkeypatch, client, "put", put, once=True)
        await copy(client, bucket, "a/1.zip", "a/1.zip", MetadataDirective="REPLACE", Metadata={"new": "2"})
    assert await read(client, bucket, "a/1.zip") == version(BASE, 8)
    assert (await client.head_object(Bucket=bucket, Key="a/1.zip"))["Metadata"] == {"new": "2"}


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_a_source_that_is_put_again_meanwhile_is_copied_as_it_is_then(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    await releases(client, bucket, count=1)
    await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
    etag = (await client.head_object(Bucket=bucket, Key=key))["ETag"]
    async with make_client() as other:

        async def put() -> None:
            await other.put_object(Bucket=bucket, Key=key, Body=version(BASE, 2))

        # With a condition, this endpoint's plain forms go through a GET, too.
        await meanwhile(monkeypatch, client, "get", put, once=True)
        await copy(client, bucket, key, "b/copy.zip", CopySourceIfNoneMatch='"other"')
        assert await read(client, bucket, "b/copy.zip") == version(BASE, 2)
        await other.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
        etag = (await client.head_object(Bucket=bucket, Key=key))["ETag"]
        await meanwhile(monkeypatch, client, "get", put, once=True)
        with pytest.raises(PreconditionFailedError):
            await copy(client, bucket, key, "b/other.zip", CopySourceIfMatch=etag)


@pytest.mark.parametrize(("key", "method"), [("a/1.zip", "get"), ("a/1.txt", "copy")])
async def test_a_source_that_is_deleted_meanwhile_is_missing(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch,
    key: str, method: str,
) -> None:  # fmt: skip
    await releases(client, bucket, count=1)
    await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
    async with make_client() as other:
        await meanwhile(monkeypatch, client, method, lambda: other.delete_object(Bucket=bucket, Key=key))
        with pytest.raises(NotFoundError) as missing:
            await copy(client, bucket, key, "b/copy.zip")
        assert isinstance(missing.value, client.exceptions.ClientError)
    assert not any(name.startswith("b/") for name in await names(client, bucket))


async def test_a_source_that_never_stays_the_same_ends_the_attempts(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await releases(client, bucket)
    async with make_client() as other:
        done = await meanwhile(
            monkeypatch, client, "get", lambda: other.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 3))
        )
        with pytest.raises(StorageIOError, match="the source was another one"):
            await copy(client, bucket, "a/1.zip", "a/2.zip")
    assert len(done) == ATTEMPTS
    assert "a/2.zip.delta" not in await names(client, bucket)


async def test_what_cannot_be_copied_says_so(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="1.txt", Body=b"text")
    for key in ("reference.bin", "a.zip.delta", ".deltaglider/x"):
        with pytest.raises(InvalidRequestError, match="belong to the storage format"):
            await copy(client, bucket, "1.txt", key)
    with pytest.raises(NotFoundError):
        await copy(client, bucket, "none.txt", "2.txt")
    with pytest.raises(NotFoundError, match="no bucket"):
        await client.copy_object(Bucket="there-is-none", Key="2.txt", CopySource=f"{bucket}/1.txt")
    with pytest.raises(InvalidRequestError, match="MetaDataDirective"):
        await copy(client, bucket, "1.txt", "2.txt", MetaDataDirective="COPY")
    with pytest.raises(InvalidRequestError, match="Accepted: COPY, REPLACE"):
        await copy(client, bucket, "1.txt", "2.txt", MetadataDirective="replace")
    assert await names(client, bucket) == {"1.txt"}


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("b/k/1.zip", {"Bucket": "b", "Key": "k/1.zip"}),
        ("/b/k", {"Bucket": "b", "Key": "k"}),
        ("b/100%25 ü+?.zip", {"Bucket": "b", "Key": "100%25 ü+?.zip"}),
        ("b/k?versionId=v", {"Bucket": "b", "Key": "k", "VersionId": "v"}),
        ({"Bucket": "b", "Key": "k", "VersionId": None}, {"Bucket": "b", "Key": "k"}),
        ("arn:aws:s3:r:1:accesspoint/p/object/k/1", {"Bucket": "arn:aws:s3:r:1:accesspoint/p", "Key": "k/1"}),
    ],
)
def test_a_source_in_any_of_boto3s_forms(given: Any, parsed: dict[str, str]) -> None:
    assert parse_source(given) == parsed


@pytest.mark.parametrize("given", ["", "bucket", "bucket/", "/", {"Bucket": "b"}])
def test_a_source_without_bucket_or_key_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequestError, match="CopySource"):
        parse_source(given)


@pytest.mark.parametrize("name", ["100%25 a+b ü.zip", "x?versionId=.zip"])
async def test_odd_names_are_copied(client: DeltaGliderClient, bucket: str, name: str) -> None:
    for suffix in ("", ".txt"):
        await client.put_object(Bucket=bucket, Key=f"a/{name}{suffix}", Body=BASE)
        await client.copy_object(
            Bucket=bucket, Key=f"b/{name}{suffix}", CopySource={"Bucket": bucket, "Key": f"a/{name}{suffix}"}
        )
        assert await read(client, bucket, f"b/{name}{suffix}") == BASE


async def test_a_version_is_copied_back(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await asyncio.to_thread(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    await releases(client, bucket, count=1)
    for key in ("a/1.zip", "a/1.txt"):
        old = await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
        await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 2))
        source = {"Bucket": bucket, "Key": key, "VersionId": old["VersionId"]}
        copied = await client.copy_object(Bucket=bucket, Key=key, CopySource=source)
        assert copied["CopySourceVersionId"] == old["VersionId"] != copied["VersionId"]
        assert await read(client, bucket, key) == version(BASE, 1)


async def test_copies_beside_puts_and_deletes_lose_nothing(make_client: MakeClient, bucket: str) -> None:
    """Whatever is read is something that was put, whole; what is listed at the end can be read."""
    values = {version(base, number) for base in (BASE, content(2)) for number in range(3)}
    places = [f"{folder}/{name}" for folder in "ab" for name in ("1.zip", "2.zip", "3.txt")]

    async def work(seed: int) -> None:
        chance = random.Random(seed)
        async with make_client() as client:
            for _ in range(25):
                key, other = chance.choice(places), chance.choice(places)
                try:
                    match chance.choice(("put", "plain", "copy", "copy", "copy", "delete", "get")):
                        case "put":
                            await client.put_object(Bucket=bucket, Key=key, Body=chance.choice(ordered))
                        case "plain":
                            await client.put_object(
                                Bucket=bucket, Key=key, Body=chance.choice(ordered), use_delta=False
                            )
                        case "copy":
                            new = {"MetadataDirective": "REPLACE", "Metadata": {"seed": str(seed)}}
                            await copy(client, bucket, key, other, **(new if key == other else {}))
                        case "delete":
                            await client.delete_object(Bucket=bucket, Key=key)
                        case "get":
                            assert await read(client, bucket, key) in values
                except NotFoundError:
                    pass

    ordered = sorted(values)
    async with anyio.create_task_group() as tasks:
        for seed in range(4):
            tasks.start_soon(work, seed)
    async with make_client() as client:
        for item in (await client.list_objects_v2(Bucket=bucket)).get("Contents", ()):
            assert await read(client, bucket, item["Key"]) in values


# -- an endpoint that keeps no condition


@pytest.fixture
async def ignorant(ignorant_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=ignorant_endpoint) as client:
        yield client


@pytest.fixture
async def place(ignorant: DeltaGliderClient) -> str:
    name = f"test-{secrets.token_hex(6)}"
    await ignorant.create_bucket(Bucket=name)
    return name


async def test_an_endpoint_without_conditions_is_copied_on(
    ignorant: DeltaGliderClient, place: str, processes: Processes
) -> None:
    await releases(ignorant, place)
    await ignorant.put_object(Bucket=place, Key="a/1.txt", Body=b"text", Metadata={"owner": "me"})
    processes.started = 0
    within = await copy(ignorant, place, "a/1.zip", "a/2.zip")
    first = await copy(ignorant, place, "a/1.zip", "b/1.zip")
    second = await copy(ignorant, place, "a/0.zip", "b/0.zip")
    assert processes.started == 0
    assert [one["DeltaGliderInfo"]["Operation"] for one in (within, first, second)] == [
        "copy_delta",
        "copy_reference",
        "copy_delta",
    ]
    assert (first["DeltaGliderInfo"]["ReferenceKey"] or "").startswith("b/.deltaglider/refs/")
    await copy(ignorant, place, "a/1.txt", "b/1.txt", CopySourceIfNoneMatch='"other"')
    await copy(ignorant, place, "a/1.txt", "b/2.txt")
    await copy(ignorant, place, "a/1.zip", "a/1.zip", MetadataDirective="REPLACE", Metadata={"new": "2"})
    await ignorant.clear_cache()
    for key in ("a/1.zip", "a/2.zip", "b/1.zip"):
        assert await read(ignorant, place, key) == version(BASE, 1)
    for key in ("b/1.txt", "b/2.txt"):
        assert await read(ignorant, place, key) == b"text"
        assert (await ignorant.head_object(Bucket=place, Key=key))["Metadata"]["owner"] == "me"
    with pytest.raises(InvalidRequestError, match="Nothing was stored"):
        await copy(ignorant, place, "a/1.zip", "c/1.zip", IfNoneMatch="*")
    assert not [name for name in await names(ignorant, place) if "probe" in name]


async def test_a_delta_of_any_reference_that_is_kept_under_its_digest_is_moved(
    ignorant: DeltaGliderClient, place: str, processes: Processes
) -> None:
    """Two clients may have made one each in the same folder."""
    await releases(ignorant, place)
    await ignorant.put_object(Bucket=place, Key="c/0.zip", Body=content(7))
    await copy(ignorant, place, "c/0.zip", "b/c.zip")
    listed = [
        item["Key"]
        async for page in ignorant._engine.store.pages(place, {"Prefix": "a/.deltaglider/"})
        for item in page.get("Contents", ())
    ]
    (reference,) = listed
    await ignorant._s3.copy_object(
        Bucket=place, Key=f"b/{reference.removeprefix('a/')}", CopySource={"Bucket": place, "Key": reference}
    )
    processes.started = 0
    copied = await copy(ignorant, place, "a/1.zip", "b/1.zip")
    assert processes.started == 0
    assert copied["DeltaGliderInfo"]["ReferenceKey"] == f"b/{reference.removeprefix('a/')}"
    assert await read(ignorant, place, "b/1.zip") == version(BASE, 1)


async def test_which_endpoint_pins_the_source_of_a_copy_is_found_out(
    ignorant: DeltaGliderClient, place: str, client: DeltaGliderClient, bucket: str
) -> None:
    for one, name in ((ignorant, place), (client, bucket)):
        operations: tuple[Operation, ...] = ("CopyObject", "UploadPartCopy")
        for operation in operations:
            assert not await one._engine.conditions.keeps(name, "a", operation, "CopySourceIfMatch", {})
        assert await names(one, name) == set()
        assert not (await one._s3.list_multipart_uploads(Bucket=name)).get("Uploads")


@pytest.mark.parametrize(("elsewhere", "code"), [("", "NoSuchKey"), ("-and-no-bucket", "NoSuchBucket")])
async def test_the_error_for_a_missing_source_is_that_of_a_copy(
    client: DeltaGliderClient, bucket: str, elsewhere: str, code: str
) -> None:
    with pytest.raises(client.exceptions.ClientError) as caught:
        await client.copy_object(Bucket=bucket, Key="a.zip", CopySource=f"{bucket}{elsewhere}/missing.zip")
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.operation_name == "CopyObject"
    assert isinstance(caught.value, NotFoundError)


@pytest.mark.parametrize("source", ["nothing", {"Bucket": "b"}, {"Key": "k"}])
async def test_a_source_that_names_no_object_is_refused_as_by_boto3(
    client: DeltaGliderClient, bucket: str, source: Any
) -> None:
    with pytest.raises(ParamValidationError, match="CopySource is") as caught:
        await client.copy_object(Bucket=bucket, Key="a.zip", CopySource=source)
    assert isinstance(caught.value, InvalidRequestError)
