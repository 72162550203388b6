from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async.bulk.actions import Action, Delete, Refusal, Upload
from deltaglider_async.bulk.events import Event, Failed, Finished, Skipped
from deltaglider_async.bulk.plan import deletes, planned
from deltaglider_async.bulk.removal import remove
from deltaglider_async.bulk.sources import listing
from deltaglider_async.errors import InvalidRequestError, NotFoundError
from deltaglider_async.session import create_client
from deltaglider_async.store.limits import Limits, limited

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from types_boto3_s3 import S3Client

    from deltaglider_async.client import DeltaGliderClient


def sent_by(client: DeltaGliderClient) -> Counter[str]:
    """How many requests of each operation this client sends from now on."""
    sent: Counter[str] = Counter()
    client.meta.events.register("before-send.s3", lambda event_name, **_: sent.update([event_name.rpartition(".")[2]]))
    return sent


async def removed(client: DeltaGliderClient, bucket: str, prefix: str = "") -> list[Event]:
    plan = planned(listing(client, bucket, prefix), deletes())
    async with aclosing(remove(client, plan)) as events:
        return [event async for event in events]


async def test_a_thousand_objects_go_in_one_request_and_the_reference_with_the_last_delta(
    s3_endpoint: str, bucket: str, s3: S3Client
) -> None:
    async with create_client(endpoint_url=s3_endpoint) as client:

        async def fill(number: int) -> None:
            await asyncio.to_thread(s3.put_object, Bucket=bucket, Key=f"p/{number:04}.txt", Body=b"x")

        for start in range(0, 1005, 67):
            await asyncio.gather(*(fill(number) for number in range(start, start + 67)))
        for number in range(3):
            await client.put_object(Bucket=bucket, Key=f"p/z{number}.zip", Body=bytes(20_000) + b"%d" % number)
        sent = sent_by(client)
        happened = await removed(client, bucket, "p/")
        assert sum(isinstance(event, Finished) for event in happened) == 1008
        # By the thousand: what is left over looks at its few keys, at three deltas, and drops one reference.
        assert sent["DeleteObjects"] == 2
        assert sum(sent.values()) < 30
        left = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        assert all(".deltaglider/trash/" in entry["Key"] for entry in left)


async def test_what_cannot_be_removed_is_told_and_the_others_go(
    s3_endpoint: str, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    async with create_client(endpoint_url=s3_endpoint) as client:
        delete_objects = client.delete_objects

        async def refuse_b(Bucket: str, Delete: Any, **arguments: Any) -> Any:  # noqa: N803
            objects = [each for each in Delete["Objects"] if each["Key"] != "b"]
            await delete_objects(Bucket=Bucket, Delete={"Objects": objects}, **arguments)
            return {"Errors": [{"Key": "b", "Code": "AccessDenied", "Message": "Access Denied"}]}

        monkeypatch.setattr(client, "delete_objects", refuse_b)

        async def with_refusal() -> Any:
            yield Refusal("delete", "s3://b/x", "no reason")
            async with aclosing(planned(listing(client, bucket, ""), deletes())) as plan:
                async for action in plan:
                    yield action

        async with aclosing(remove(client, with_refusal())) as events:
            happened = [event async for event in events]
    assert [str(event.error) for event in happened if isinstance(event, Failed)] == ["AccessDenied: Access Denied"]
    assert sum(isinstance(event, Finished) for event in happened) == 2
    assert sum(isinstance(event, Skipped) for event in happened) == 1
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b"]


async def test_an_error_of_the_listing_is_raised_when_what_was_planned_is_done(s3_endpoint: str) -> None:
    async with create_client(endpoint_url=s3_endpoint) as client:
        with pytest.raises(NotFoundError):
            await removed(client, "no-such-bucket-anywhere")


@pytest.mark.parametrize("size", [3, 1000])
async def test_the_service_is_asked_for_pages_of_the_size_that_was_asked_for(
    s3_endpoint: str, bucket: str, s3: S3Client, size: int
) -> None:
    for number in range(8):
        s3.put_object(Bucket=bucket, Key=f"p-{number}/x.txt", Body=b"x")
    asked: list[int] = []

    def note(params: Any, **_: Any) -> None:
        asked.append(int(params["query_string"]["max-keys"]))

    async with create_client(endpoint_url=s3_endpoint) as client:
        client.meta.events.register("before-call.s3.ListObjectsV2", note)
        with limited(Limits(page_size=size)):
            found = [each.key async for each in listing(client, bucket, "")]
            counted = await client.get_bucket_stats(bucket, "detailed")
    assert found == [f"p-{number}/x.txt" for number in range(8)]
    assert counted.object_count == 8
    assert max(asked) == min(size, 1000)
    assert (len(asked) > 5) is (size == 3)


async def test_each_object_goes_from_its_own_bucket(s3_endpoint: str, bucket: str, s3: S3Client) -> None:
    other = f"{bucket}-other"
    await asyncio.to_thread(s3.create_bucket, Bucket=other)
    for each, key in ((bucket, "a"), (bucket, "b"), (other, "a"), (other, "b")):
        await asyncio.to_thread(s3.put_object, Bucket=each, Key=key, Body=b"x")

    async def plan() -> AsyncGenerator[Action, None]:
        yield Delete(bucket, "a")
        yield Delete(other, "b")
        yield Upload(Path("x"), bucket, "b")

    async with create_client(endpoint_url=s3_endpoint) as client:
        with pytest.raises(InvalidRequestError, match="only removes"):
            async with aclosing(remove(client, plan())) as events:
                _ = [event async for event in events]
    left = [s3.list_objects_v2(Bucket=each)["Contents"][0]["Key"] for each in (bucket, other)]
    assert left == ["b", "a"]
