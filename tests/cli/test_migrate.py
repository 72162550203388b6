"""`dg migrate` as a program: what it says, what it leaves, and how it goes on after interruptions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from tests.cli.conftest import DG, Run
from tests.real_servers import CONDITIONAL
from tests.torture.proxy import Exchange, faulty

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.format.keys import is_internal
from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = random.Random(1).randbytes(40_000)
CONTENTS = {
    "a/b/c/1.zip": BASE,
    "a/b/c/2.zip": BASE + b"2",
    "a/b/c/d/3.zip": BASE + b"3",
    "a/b/c/notes.txt": b"text",
    "a/b/cc/other.txt": b"other",
}


@pytest.fixture
def plain(s3: S3Client, bucket: str) -> str:
    """A bucket with whole files, as any tool puts them."""
    for key, body in CONTENTS.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"build": "17"}, ContentType="application/x-a")
    return bucket


@pytest.fixture
def new(s3: S3Client, bucket: str) -> str:
    s3.create_bucket(Bucket=f"{bucket}-new")
    return f"{bucket}-new"


async def objects(client: DeltaGliderClient, bucket: str, prefix: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    token: str | None = None
    while True:
        page = await client.list_objects_v2(Bucket=bucket, Prefix=prefix, ContinuationToken=token)
        for entry in page.get("Contents", ()):
            async with (await client.get_object(Bucket=bucket, Key=entry["Key"]))["Body"] as body:
                found[entry["Key"]] = await body.read()
        if not page["IsTruncated"]:
            return found
        token = page["NextContinuationToken"]


def stored(endpoint: str, bucket: str) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        async with create_client(endpoint_url=endpoint) as client:
            assert not [finding async for finding in client.fsck(bucket) if finding.severity == "error"]
            return await objects(client, bucket)

    return asyncio.run(read())


def below(prefix: str, to: str) -> dict[str, bytes]:
    return {to + key.removeprefix(prefix): body for key, body in CONTENTS.items() if key.startswith(prefix)}


@pytest.mark.parametrize(
    ("source", "destination", "options", "expected"),
    [
        ("a/b/c/", "x/", [], below("a/b/c/", "x/c/")),
        ("a/b/c", "x", [], below("a/b/c/", "x/c/")),
        ("a/b/c/", "x/", ["--no-preserve-prefix"], below("a/b/c/", "x/")),
        ("a/b/c/", "", [], below("a/b/c/", "c/")),
        ("a/b/c/", "", ["--no-preserve-prefix"], below("a/b/c/", "")),
        ("", "x/", [], below("", "x/")),
        ("", "", [], CONTENTS),
        ("a/b/c/", "", ["--exclude", "*", "--include", "d/*"], {"c/d/3.zip": CONTENTS["a/b/c/d/3.zip"]}),
    ],
)
def test_the_last_part_of_the_prefix_is_kept(
    source: str, destination: str, options: list[str], expected: dict[str, bytes],
    dg: Run, plain: str, new: str, s3_endpoint: str,
) -> None:  # fmt: skip
    result = dg("migrate", f"s3://{plain}/{source}", f"s3://{new}/{destination}", "--yes", *options)
    assert (result.returncode, result.stderr) == (0, b"")
    assert stored(s3_endpoint, new) == expected


def test_it_says_how_much_there_is_asks_and_does_it(dg: Run, plain: str, new: str, s3: S3Client) -> None:
    ends = f"s3://{plain}/a/b/c/", f"s3://{new}/"
    refused = dg("migrate", *ends, input=b"n\n")
    assert refused.returncode == 1
    assert refused.stdout.decode().splitlines()[:2] == [
        "S3 Client Region: us-east-1",
        f"Files to migrate: 4 (120 kB), from s3://{plain}/a/b/c/ to s3://{new}/c/",
    ]
    assert b"Nothing was done." in refused.stdout
    assert dg("migrate", *ends).returncode == 1  # nobody answers
    assert "Contents" not in s3.list_objects_v2(Bucket=new)
    done = dg("migrate", *ends, input=b"y\n").stdout.decode()
    assert "Migrated 4 files: 120 kB, stored in " in done
    assert "% saved)" in done.splitlines()[-1]
    names = {item["Key"] for item in s3.list_objects_v2(Bucket=new)["Contents"]}
    assert {"c/1.zip.delta", "c/2.zip.delta", "c/reference.bin", "c/d/3.zip.delta", "c/notes.txt"} <= names
    head = s3.head_object(Bucket=new, Key="c/1.zip.delta")
    assert (head["ContentType"], head["Metadata"]["build"]) == ("application/x-a", "17")
    again = dg("migrate", *ends).stdout.decode().splitlines()
    assert again == [
        "S3 Client Region: us-east-1",
        "Already migrated: 4 files (will be skipped)",
        "All files are already migrated. Nothing to do.",
    ]


def test_what_was_changed_or_added_since_is_migrated_by_the_next_run(
    dg: Run, plain: str, new: str, s3: S3Client, s3_endpoint: str
) -> None:
    ends = f"s3://{plain}/a/b/c/", f"s3://{new}/"
    assert dg("migrate", *ends, "-y").returncode == 0
    s3.put_object(Bucket=plain, Key="a/b/c/1.zip", Body=BASE + b"more")
    s3.put_object(Bucket=plain, Key="a/b/c/4.zip", Body=BASE + b"4")
    again = dg("migrate", *ends, "-y").stdout.decode()
    assert "Already migrated: 3 files (will be skipped)" in again
    assert "Files to migrate: 2 " in again
    expected = below("a/b/c/", "c/") | {"c/1.zip": BASE + b"more", "c/4.zip": BASE + b"4"}
    assert stored(s3_endpoint, new) == expected


def test_quiet_does_not_ask_and_shows_the_region_alone(dg: Run, plain: str, new: str, s3_endpoint: str) -> None:
    result = dg("migrate", f"s3://{plain}", f"s3://{new}", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"S3 Client Region: us-east-1\n", b"")
    assert stored(s3_endpoint, new) == CONTENTS


@pytest.mark.parametrize("option", ["--dry-run", "--dryrun"])
def test_a_dry_run_changes_nothing(option: str, dg: Run, plain: str, new: str, s3: S3Client) -> None:
    result = dg("migrate", f"s3://{plain}/a/b/c/", f"s3://{new}/", option)
    lines = result.stdout.decode().splitlines()
    assert f"(dryrun) copy: s3://{plain}/a/b/c/1.zip to s3://{new}/c/1.zip" in lines
    assert lines[-1].startswith("Files to migrate: 4 (120 kB)")
    assert "Contents" not in s3.list_objects_v2(Bucket=new)
    assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("plan"))


def test_without_deltas(dg: Run, plain: str, new: str, s3: S3Client) -> None:
    assert dg("migrate", f"s3://{plain}", f"s3://{new}", "-y", "--no-delta", "--verify").returncode == 0
    names = {item["Key"] for item in s3.list_objects_v2(Bucket=new)["Contents"]}
    assert {name for name in names if ".deltaglider/" not in name} == CONTENTS.keys()


def test_json_is_for_programs(dg: Run, plain: str, new: str) -> None:
    ends = f"s3://{plain}", f"s3://{new}"
    assert dg("migrate", *ends, "--json").returncode == 252
    result = dg("migrate", *ends, "--json", "-y", "--verify")
    *records, summary = map(json.loads, result.stdout.splitlines())
    assert {record["status"] for record in records} == {"done"}
    assert {record["source"] for record in records} == {f"s3://{plain}/{key}" for key in CONTENTS}
    assert (summary["done"], summary["failed"]) == (5, 0)
    assert b"S3 Client Region: " in result.stderr


def test_deltas_move_without_being_decoded(dg: Run, plain: str, new: str, s3: S3Client, s3_endpoint: str) -> None:
    assert dg("migrate", f"s3://{plain}/a/b/c/", f"s3://{new}/", "-y").returncode == 0
    result = dg("migrate", f"s3://{new}/c/", f"s3://{new}/again/", "-y", "--no-preserve-prefix", DG_XDELTA3="false")
    assert (result.returncode, result.stderr) == (0, b"")
    assert stored(s3_endpoint, new) == below("a/b/c/", "c/") | below("a/b/c/", "again/")


def test_from_another_endpoint_with_other_credentials(
    real_server: Callable[[str], str], dg: Run, plain: str, new: str, s3_endpoint: str, tmp_path: Path
) -> None:
    """MinIO, or what stands for it, refuses credentials that it does not know."""
    other = real_server(CONDITIONAL[0])
    config = tmp_path / "config"
    config.write_text(
        "[profile there]\nregion = us-east-1\n"
        f"aws_access_key_id = {os.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {os.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    here = {
        "AWS_ACCESS_KEY_ID": "unknown-here",
        "AWS_SECRET_ACCESS_KEY": "unknown-here",
        "AWS_CONFIG_FILE": str(config),
    }

    async def make() -> None:
        async with create_client(endpoint_url=other) as client:
            await client.create_bucket(Bucket=plain)
            for key, body in CONTENTS.items():
                await client.put_object(Bucket=plain, Key=key, Body=body, Metadata={"build": "17"}, Tagging="team=a")

    asyncio.run(make())
    time.sleep(1)  # moto tells whole seconds: what is copied within the same one looks older than its source
    ends = f"s3://{plain}/a/b/c/", f"s3://{plain}/copied/"
    options = ["-y", "--source-endpoint-url", other]
    refused = dg("migrate", *ends, *options, **here)
    assert (refused.returncode, b"Files to migrate" in refused.stdout) == (1, False)
    result = dg("migrate", *ends, *options, "--source-profile", "there", "--verify", **here)
    assert (result.returncode, result.stderr) == (0, b"")
    assert stored(s3_endpoint, plain) == CONTENTS | below("a/b/c/", "copied/c/")
    again = dg("migrate", *ends, *options, "--source-profile", "there", **here)
    assert b"Nothing to do." in again.stdout


def test_failures_are_listed_and_tried_again_by_the_next_run(
    dg: Run, plain: str, new: str, s3: S3Client, s3_endpoint: str
) -> None:
    async def break_one() -> None:
        async with create_client(endpoint_url=s3_endpoint) as client:
            await client.put_object(Bucket=plain, Key="z/1.zip", Body=BASE)
            await client.put_object(Bucket=plain, Key="z/2.zip", Body=BASE + b"2")

    asyncio.run(break_one())
    reference = s3.get_object(Bucket=plain, Key="z/reference.bin")
    body = reference["Body"].read()
    s3.delete_object(Bucket=plain, Key="z/reference.bin")
    ends = f"s3://{plain}", f"s3://{new}"
    result = dg("migrate", *ends, "-y")
    assert result.returncode == 1
    assert "2 files failed; the same command again tries them again:" in result.stderr.decode()
    assert f"  s3://{plain}/z/1.zip" in result.stderr.decode()
    assert stored(s3_endpoint, new) == CONTENTS
    s3.put_object(Bucket=plain, Key="z/reference.bin", Body=body, Metadata=reference["Metadata"])
    s3.delete_object(Bucket=plain, Key="a/b/c/1.zip")  # is done, and not looked at again
    again = dg("migrate", *ends, "-y").stdout.decode()
    assert "Going on with what was begun before" in again
    assert "Already migrated: 5 files (will be skipped)" in again
    assert "Files to migrate: 2 " in again
    assert stored(s3_endpoint, new) == CONTENTS | {"z/1.zip": BASE, "z/2.zip": BASE + b"2"}
    assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("plan"))


def test_in_place(dg: Run, plain: str, s3: S3Client, s3_endpoint: str) -> None:
    place = f"s3://{plain}/a/"
    refused = dg("migrate", place, place, "-y")
    assert (refused.returncode, b"--exclusive" in refused.stderr) == (252, True)
    assert stored(s3_endpoint, plain) == CONTENTS
    result = dg("migrate", place, place, "--exclusive", "-y")
    assert (result.returncode, result.stderr) == (0, b"")
    assert f"compact: s3://{plain}/a/b/c/2.zip (40.0 kB -> " in result.stdout.decode()
    names = {item["Key"] for item in s3.list_objects_v2(Bucket=plain)["Contents"]}
    assert {"a/b/c/1.zip.delta", "a/b/c/2.zip.delta", "a/b/c/d/3.zip.delta", "a/b/c/notes.txt"} <= names
    assert "a/b/c/1.zip" not in names
    assert stored(s3_endpoint, plain) == CONTENTS
    again = dg("migrate", place, place, "--exclusive", "-y").stdout
    assert b"Already migrated: 3 files (will be skipped)\nAll files are already migrated. Nothing to do." in again


@pytest.mark.parametrize(
    "line", ["s3://b/a/ s3://b/a/x/ -y", "s3://b s3://b/x -y", "s3://b s3://b --exclusive --no-delta -y", "here s3://b"]
)
def test_what_cannot_be_meant_is_a_usage_error(line: str, dg: Run) -> None:
    result = dg("migrate", *line.split())
    assert (result.returncode, result.stdout) == (252, b"")


def test_verify_of_all_below_a_prefix(dg: Run, plain: str, s3: S3Client) -> None:
    assert dg("migrate", f"s3://{plain}/a/b/c", f"s3://{plain}/a/b/c", "--exclusive", "-q").returncode == 0
    result = dg("verify", "-r", f"s3://{plain}/a/", "--exclude", "*.txt")
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(result.stdout.splitlines()) == 3
    stored_delta = s3.get_object(Bucket=plain, Key="a/b/c/2.zip.delta")
    damaged = bytearray(stored_delta["Body"].read())
    damaged[-1] ^= 1
    s3.put_object(Bucket=plain, Key="a/b/c/2.zip.delta", Body=bytes(damaged), Metadata=stored_delta["Metadata"])
    result = dg("verify", "-r", f"s3://{plain}", "--json")
    *records, summary = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert [each["source"] for each in records if each["status"] == "failed"] == [f"s3://{plain}/a/b/c/2.zip"]
    assert (summary["done"], summary["failed"]) == (4, 1)


def many(small: int, large: int) -> dict[str, bytes]:
    """Small objects in folders, every third a candidate, and large ones of one family."""
    chance = random.Random(7)
    base = chance.randbytes(2_000)
    contents = {
        f"old/{number % 10}/{number}.{'txt' if number % 3 else 'zip'}": base + str(number).encode()
        for number in range(small)
    }
    big = chance.randbytes(3_000_000)
    return contents | {f"old/images/{number}.tar": big + str(number).encode() for number in range(large)}


#: The whole of the source; what is asked about single folders names these.
LISTING = re.compile(r"[?&]prefix=old(/|%2F)(&|$)")


def key_of(exchange: Exchange) -> str:
    return unquote(urlsplit(exchange.target).path)


async def complete(client: DeltaGliderClient, bucket: str, expected: dict[str, bytes]) -> None:
    """All is there and nothing else: plain objects by the ETag that a listing tells, of deltas many by their bytes."""
    plain, deltas = dict[str, str](), list[str]()
    async for page in client._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            if item["Key"].endswith(".delta"):
                deltas.append(item["Key"].removesuffix(".delta"))
            elif not is_internal(item["Key"]):
                plain[item["Key"]] = item["ETag"].strip('"')
    assert sorted([*plain, *deltas]) == sorted(expected)
    assert plain == {key: hashlib.md5(expected[key], usedforsecurity=False).hexdigest() for key in plain}
    some = iter(random.Random(bucket).sample(deltas, min(len(deltas), 1000)))

    async def read() -> None:
        for key in some:
            async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
                assert await body.read() == expected[key]

    await asyncio.gather(*(read() for _ in range(8)))
    assert not [finding async for finding in client.fsck(bucket) if finding.severity == "error"]


async def interruptions(endpoint: str, contents: dict[str, bytes], in_place: bool = False) -> None:
    """Migrate, interrupted five times, through a proxy that counts; see the tests."""
    async with create_client(endpoint_url=endpoint) as client, faulty(endpoint, lambda method, target: None) as found:
        url, proxy = found
        chance = random.Random(len(contents))
        old, new = (f"test-{random.SystemRandom().randrange(1 << 60):x}-{name}" for name in ("old", "new"))
        for bucket in (old, new):
            await client.create_bucket(Bucket=bucket)
        limit = asyncio.Semaphore(32)

        async def put(key: str) -> None:
            async with limit:
                await client._s3.put_object(Bucket=old, Key=key, Body=contents[key])

        await asyncio.gather(*map(put, contents))
        to = f"s3://{old}/old/" if in_place else f"s3://{new}/"
        words = ["migrate", f"s3://{old}/old/", to, "-y", "--no-preserve-prefix", "--concurrency", "8"]
        words += ["--exclusive"] if in_place else []
        printed: list[set[str]] = []
        runs: list[list[Exchange]] = []

        async def run(lines: int | None, number: int = 0) -> int:
            begun = len(proxy.exchanges)
            process = await asyncio.create_subprocess_exec(
                *DG, *words,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "AWS_ENDPOINT_URL": url},
            )  # fmt: skip
            assert process.stdout
            done = set[str]()
            async for line in process.stdout:
                words_ = line.decode().split()
                if words_[0] in ("copy:", "compact:"):
                    done.add(words_[1].removeprefix(f"s3://{old}/"))
                if lines is not None and len(done) == lines:
                    process.send_signal(number)
            await process.communicate()
            printed.append(done)
            runs.append(proxy.exchanges[begun:])
            assert process.returncode is not None
            return process.returncode

        touched = {key for key in contents if not (in_place and key.endswith(".txt"))}  # others are no candidates
        signals = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL]
        for sent in signals:
            code = await run(chance.randint(1, len(touched) // 8), sent)
            assert code in (128 + sent, -sent)
        assert await run(None) == 0

        place, prefix = (old, "old/") if in_place else (new, "")
        await complete(client, place, {prefix + key.removeprefix("old/"): body for key, body in contents.items()})
        if not in_place:
            await complete(client, old, contents)

        assert [each for each in runs[0] if LISTING.search(each.target) and key_of(each) == f"/{old}"]
        # The source was listed once, and what was said to be done was not touched again.
        for seen in runs[1:]:
            assert not [each for each in seen if LISTING.search(each.target) and key_of(each) == f"/{old}"]
        for number, done in enumerate(printed):
            later = {key_of(each) for seen in runs[number + 1 :] for each in seen}
            assert not {f"/{old}/{key}" for key in done} & later
        # What was read twice was in flight: at most eight at each interruption, and as many in the last moment.
        reads = Counter(
            key
            for seen in runs
            for key in {key_of(each) for each in seen if key_of(each).removeprefix(f"/{old}/") in contents}
        )
        assert reads.keys() == {f"/{old}/{key}" for key in touched}
        twice = sum(reads.values()) - len(touched)
        print(f"{len(touched):,} objects in {[len(done) for done in printed]}, {twice} of them twice; "
              f"{sum(map(len, runs)):,} requests")  # fmt: skip
        assert twice <= len(signals) * 8


@pytest.mark.timeout(240)
@pytest.mark.parametrize("in_place", [False, True], ids=["elsewhere", "in place"])
async def test_five_interruptions_and_nothing_is_transferred_twice_but_what_was_in_flight(
    in_place: bool, real_server: Callable[[str], str]
) -> None:
    await interruptions(real_server(CONDITIONAL[0]), many(240, 6), in_place)


@pytest.mark.slow
async def test_five_interruptions_of_twenty_thousand_objects(real_server: Callable[[str], str]) -> None:
    await interruptions(real_server(CONDITIONAL[0]), many(20_000, 50))
