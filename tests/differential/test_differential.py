"""Whoever knows boto3 knows this: the same programs of calls, through aioboto3's client and through this one."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import aioboto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deltaglider_async import create_client
from deltaglider_async.settings import Settings
from tests.differential import page
from tests.differential.compare import Comparison, Difference
from tests.differential.generate import CALLS, programs, versioned_programs
from tests.differential.program import Call, Content, Program, call, written
from tests.differential.run import Side
from tests.differential.servers import MINIO, MOTO, Server
from tests.differential.witnesses import WITNESSES
from tests.real_servers import ACCESS_KEY, CONDITIONAL, SECRET_KEY

if TYPE_CHECKING:
    from tests.tally import Tally

#: A client as `create_client` configures it for an endpoint that is not AWS's.
CONFIG = Config(
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    retries={"total_max_attempts": 1},
)


@dataclass
class Laboratory:
    """Two buckets on one server, a client for each, and what was seen."""

    runner: asyncio.Runner
    raw: Any
    ours: Any
    allowed: list[page.Allowed]
    servers_own: Callable[[Difference], bool]
    candidates: bool
    buckets: tuple[str, str] = ("", "")
    applied: set[page.Allowed] = field(default_factory=set)
    called: Counter[str] = field(default_factory=Counter)
    programs: int = 0
    deltas: int = 0

    def compare(self, program: Program) -> None:
        """Run a program on both sides. Raises `AssertionError` for the first difference that the page does not name."""
        if wrong := self.unexplained(program):
            told = "\n".join(f"  {difference}" for difference in wrong)
            raise AssertionError(f"This program is answered differently:\n{written(program)}\n{told}")

    def unexplained(self, program: Program, in_new_buckets: bool = False) -> list[Difference]:
        """The differences that the page does not name."""
        if in_new_buckets or not self.buckets[0]:
            self.runner.run(self._new_buckets())
        return self.runner.run(self._unexplained(program))

    async def _new_buckets(self) -> None:
        self.buckets = (f"boto-{secrets.token_hex(6)}", f"ours-{secrets.token_hex(6)}")
        for bucket in self.buckets:
            await self.raw.create_bucket(Bucket=bucket)

    async def _unexplained(self, program: Program) -> list[Difference]:
        stored: list[set[str]] = []

        async def look(_: int) -> None:
            stored.append(await self._stored(self.buckets[1]))

        theirs = Side(self.raw, self.buckets[0])
        ours = Side(self.ours, self.buckets[1], looked=look)
        for bucket in self.buckets:
            await self._empty(bucket)
        their_outcomes, our_outcomes = await asyncio.gather(theirs.run(program), ours.run(program))
        self.programs += 1
        self.deltas += sum(name.endswith(".delta") for name in stored[-1])
        for step, outcome in zip(program, our_outcomes, strict=True):
            if outcome.error is None:
                self.called[step.name] += 1
        return [
            difference
            for difference in Comparison(program, theirs, ours).differences(their_outcomes, our_outcomes)
            if not self.servers_own(difference)
            and not self._is_allowed(difference, program[difference.step], ours, stored)
        ]

    def _is_allowed(self, difference: Difference, step: Call, ours: Side, stored: list[set[str]]) -> bool:
        names = stored[difference.step] | stored[difference.step + 1]
        for row in self.allowed:
            about = row.covers(difference.operation, difference.field, difference.kind)
            if about and self._holds(row.when, difference, step, ours, names):
                self.applied.add(row)
                return True
        return False

    def _holds(self, when: str, difference: Difference, step: Call, ours: Side, stored: set[str]) -> bool:
        """Whether what the page says of when a difference may be is so."""
        key = unquote_plus(difference.key) if step.arguments.get("EncodingType") else difference.key
        match when:
            case "always":
                return True
            case "a delta":
                return f"{key}.delta" in stored
            case "a delta candidate sent in parts":
                return self.candidates and (not difference.field.endswith("ETag") or "-" in difference.theirs)
            case "an upload completed before":
                completed = ours.upload(step.arguments["UploadId"].number).completed
                return completed is not None and completed < difference.step
        raise AssertionError(f"the page says {when!r}, which nothing here understands")

    async def _stored(self, bucket: str) -> set[str]:
        listed = await self.raw.list_objects_v2(Bucket=bucket)
        return {item["Key"] for item in listed.get("Contents", ())}

    async def _empty(self, bucket: str) -> None:
        listed = await self.raw.list_object_versions(Bucket=bucket)
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))
        ]
        if found:
            await self.raw.delete_objects(Bucket=bucket, Delete={"Objects": found})
        for upload in (await self.raw.list_multipart_uploads(Bucket=bucket)).get("Uploads", ()):
            await self.raw.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


@contextmanager
def laboratory(server: Server, endpoint: str, candidates: bool) -> Iterator[Laboratory]:
    """Clients for a server. Every key is a delta candidate, or none is."""

    async def open_clients(stack: AsyncExitStack) -> tuple[Any, Any]:
        session: Any = aioboto3.Session(ACCESS_KEY, SECRET_KEY, region_name="us-east-1")
        raw = await stack.enter_async_context(session.client("s3", endpoint_url=endpoint, config=CONFIG))
        choice = Settings(delta_patterns="*" if candidates else "!*")
        return raw, await stack.enter_async_context(create_client(s3_client=raw, settings=choice))

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        raw, ours = runner.run(open_clients(stack))
        try:
            yield Laboratory(runner, raw, ours, page.allowed(), server.says, candidates)
        finally:
            runner.run(stack.aclose())


def explore(lab: Laboratory, drawn: st.SearchStrategy[Program], examples: int, anew: bool) -> None:
    """Compare that many programs: the same each time, or new ones."""

    @settings(
        max_examples=examples,
        derandomize=not anew,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(program=drawn)
    def check(program: Program) -> None:
        lab.compare(program)

    check()


@pytest.fixture
def minio(real_server: Callable[[str], str]) -> tuple[Server, str]:
    """MinIO, or moto again where there is no MinIO."""
    return (MINIO, real_server("minio")) if "minio" in CONDITIONAL else (MOTO, real_server("moto"))


KINDS = pytest.mark.parametrize("candidates", [True, False], ids=["deltas", "plain"])


@KINDS
@pytest.mark.timeout(0)
def test_programs_are_answered_as_by_boto3(s3_endpoint: str, candidates: bool, torture: Tally) -> None:
    with laboratory(MOTO, s3_endpoint, candidates) as lab:
        explore(lab, programs(tuple(CALLS), MOTO.cannot), torture.length(100, 5_000), torture.full)
        torture.add("the same as boto3, on moto", programs=lab.programs, calls=lab.called.total())
        assert (lab.deltas > 0) == candidates


@KINDS
@pytest.mark.timeout(0)
def test_programs_are_answered_as_by_boto3_on_a_real_server(
    minio: tuple[Server, str], candidates: bool, torture: Tally
) -> None:
    server, endpoint = minio
    with laboratory(server, endpoint, candidates) as lab:
        explore(lab, programs(tuple(CALLS), server.cannot), torture.length(100, 5_000), torture.full)
        torture.add("the same as boto3, on a real server", programs=lab.programs, calls=lab.called.total())
        assert (lab.deltas > 0) == candidates


@KINDS
@pytest.mark.timeout(0)
def test_versions_are_answered_as_by_boto3(minio: tuple[Server, str], candidates: bool, torture: Tally) -> None:
    server, endpoint = minio
    with laboratory(server, endpoint, candidates) as lab:
        explore(lab, versioned_programs(server.cannot), torture.length(40, 2_000), torture.full)
        assert (lab.deltas > 0) == candidates


@KINDS
def test_programs_that_found_something_are_answered_as_by_boto3(s3_endpoint: str, candidates: bool) -> None:
    with laboratory(MOTO, s3_endpoint, candidates) as lab:
        for program in WITNESSES:
            lab.compare(program)


def test_every_difference_on_the_page_is_needed(s3_endpoint: str, minio: tuple[Server, str]) -> None:
    needed: set[page.Allowed] = set()
    for server, endpoint in ((MOTO, s3_endpoint), minio):
        with laboratory(server, endpoint, candidates=True) as lab:
            for program in WITNESSES:
                lab.compare([step for step in program if not server.cannot(step)])
            needed |= lab.applied
    # Without a real server, what only that one shows cannot be asked for.
    assert [str(row) for row in page.allowed() if row not in needed] == [] or minio[0] is MOTO
    assert all(row.why for row in page.allowed())


def test_a_difference_that_the_page_does_not_name_fails_with_the_program_in_words(s3_endpoint: str) -> None:
    program = [call("put_object", Key="a", Body=Content("similar", 1)), call("get_object", Key="a")]
    with laboratory(MOTO, s3_endpoint, candidates=True) as lab:
        lab.allowed = [row for row in lab.allowed if "ETag" not in row.fields]
        with pytest.raises(AssertionError, match=r"(?s)1  call\('put_object', Key='a'.*call 2, get_object: ETag"):
            lab.compare(program)
