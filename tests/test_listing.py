"""Listings against a plain model of what they must say, over keys made to sort awkwardly."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Entry = tuple[str, int | None]
"""A key and the size of what is stored for it; None for a common prefix."""


class SmallPages:
    """The two calls of S3 that a listing needs, over objects in memory, few to a page.

    A server cannot be used: look-ahead matters at the ends of pages, and theirs hold a thousand keys.
    """

    def __init__(self, meta: Any, stored: Iterable[str], page: int = 3, foreign: Iterable[str] = ()) -> None:
        self.meta = meta
        self.sizes = {key: number for number, key in enumerate(sorted(stored), 1)}
        self.foreign = set(foreign)
        self.page = page
        self.lists: list[tuple[str, int]] = []

    async def list_objects_v2(
        self,
        Bucket: str,  # noqa: N803
        Prefix: str = "",  # noqa: N803
        Delimiter: str = "",  # noqa: N803
        StartAfter: str = "",  # noqa: N803
        ContinuationToken: str = "",  # noqa: N803
        MaxKeys: int = 1000,  # noqa: N803
        FetchOwner: bool = False,  # noqa: N803
    ) -> dict[str, Any]:
        self.lists.append((Prefix, MaxKeys))
        rolled = [
            entry
            for entry in roll_up(sorted(self.sizes), Prefix, Delimiter, StartAfter)
            if entry > (ContinuationToken or "")
        ]
        page = rolled[: min(MaxKeys, self.page)]
        answer: dict[str, Any] = {
            "Contents": [self._item(key) for key in page if not is_rolled(key, Prefix, Delimiter)],
            "CommonPrefixes": [{"Prefix": key} for key in page if is_rolled(key, Prefix, Delimiter)],
            "IsTruncated": len(page) < len(rolled),
        }
        if answer["IsTruncated"]:
            answer["NextContinuationToken"] = page[-1]
        return answer

    async def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.sizes:
            raise ClientError(
                {"Error": {"Code": "404", "Message": "Not Found"}, "ResponseMetadata": {"HTTPStatusCode": 404}},  # type: ignore[typeddict-item]
                "HeadObject",
            )
        item = self._item(Key)
        is_delta = Key.endswith(".delta") and Key not in self.foreign
        return {
            **item,
            "ContentLength": item.pop("Size"),
            "Metadata": {
                "dg-file-sha256": "0" * 64,
                "dg-file-size": str(1000 * self.sizes[Key]),
                "dg-ref-key": "reference.bin",
                "dg-ref-sha256": "1" * 64,
            }
            if is_delta
            else {},
        }

    def _item(self, key: str) -> dict[str, Any]:
        size = self.sizes[key]
        return {"Key": key, "Size": size, "ETag": f'"{size}"', "LastModified": datetime(2026, 1, 1, tzinfo=UTC)}


def roll_up(ordered: Sequence[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """What S3 lists: keys and common prefixes, in order."""
    found: dict[str, None] = {}
    for key in ordered:
        if key.startswith(prefix) and key > after:
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            found[key if cut < 0 else key[: cut + len(delimiter)]] = None
    return [entry for entry in found if entry > after]


def is_rolled(entry: str, prefix: str, delimiter: str) -> bool:
    return bool(delimiter) and delimiter in entry[len(prefix) :]


@dataclass(frozen=True)
class Query:
    prefix: str = ""
    delimiter: str = ""
    after: str = ""


def expected(stored: Iterable[str], query: Query) -> list[Entry]:
    """The listing by its definition: find out the logical keys, sort them, list them as S3 would."""
    sizes = {key: number for number, key in enumerate(sorted(stored), 1)}
    logical: dict[str, int] = {}
    for key in sorted(sizes, key=lambda key: not key.endswith(".delta")):  # a plain form wins
        logical[keys.logical_key(key)] = sizes[key]
    shown = sorted((key for key in logical if not keys.is_internal(key)), key=str.encode)
    entries = roll_up(shown, query.prefix, query.delimiter, query.after)
    return [(key, None if is_rolled(key, query.prefix, query.delimiter) else logical[key]) for key in entries]


def found(page: Mapping[str, Any]) -> list[Entry]:
    """The entries of an answer, each kind in the order given, merged."""
    contents = [(item["Key"], item["Size"]) for item in page.get("Contents", ())]
    prefixes = [(common["Prefix"], None) for common in page.get("CommonPrefixes", ())]
    for entries in (contents, prefixes):
        assert entries == sorted(entries, key=lambda entry: entry[0].encode())
    return sorted([*contents, *prefixes], key=lambda entry: entry[0].encode())


async def by_tokens(client: DeltaGliderClient, query: Query, most: int) -> list[list[Entry]]:
    pages: list[list[Entry]] = []
    token: str | None = None
    while True:
        page = await client.list_objects_v2(
            Bucket="bucket", Prefix=query.prefix, Delimiter=query.delimiter, StartAfter=query.after, MaxKeys=most,
            ContinuationToken=token,
        )  # fmt: skip
        pages.append(found(page))
        assert page["KeyCount"] == len(pages[-1])
        token = page.get("NextContinuationToken")
        assert page["IsTruncated"] == (token is not None)
        if token is None:
            return pages


async def by_markers(client: DeltaGliderClient, query: Query, most: int) -> list[list[Entry]]:
    pages: list[list[Entry]] = []
    marker = ""
    while True:
        page = await client.list_objects(
            Bucket="bucket", Prefix=query.prefix, Delimiter=query.delimiter, MaxKeys=most, Marker=marker
        )
        pages.append(found(page))
        assert page["IsTruncated"] == ("NextMarker" in page)
        if not page["IsTruncated"]:
            return pages
        marker = page["NextMarker"]


def in_pages(entries: list[Entry], most: int) -> list[list[Entry]]:
    return [entries[start : start + most] for start in range(0, len(entries), most)] or [[]]


PIECES = (*" !-./0adelt~é中", ".delta", ".delt", ".deltb", "a", "a", "/", "-")
names = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
forms = st.sampled_from([(False,), (True,), (False, True)])
internal = st.tuples(
    st.sampled_from(["", "a/", "a/a/", "a-", "a/-/", "/"]),
    st.sampled_from(["reference.bin", "reference.bin.delta", ".deltaglider/tmp/a", ".deltaglider/a.delta"]),
).map("".join)


@st.composite
def buckets(draw: st.DrawFn) -> set[str]:
    """Stored names: families that share a beginning, in one form or the other or both."""
    stems = draw(st.lists(names, min_size=1, max_size=4))
    stored: set[str] = set()
    for stem in stems:
        for ending in draw(st.lists(st.one_of(st.just(""), names), min_size=1, max_size=5)):
            for is_delta in draw(forms):
                stored.add(keys.delta_key(stem + ending) if is_delta else stem + ending)
    return stored | set(draw(st.lists(internal, max_size=2)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[set[str], Query]:
    stored = draw(buckets())
    anywhere = st.one_of(st.sampled_from(sorted(stored)), st.sampled_from(sorted(map(keys.logical_key, stored))), names)
    prefix, after = draw(st.one_of(st.just(""), anywhere)), draw(st.one_of(st.just(""), anywhere))
    prefix = prefix[: draw(st.integers(0, len(prefix)))]
    after = after[: draw(st.integers(0, len(after)))]
    return stored, Query(prefix, draw(st.sampled_from(["", "/", "-", ".d", "a"])), after)


@pytest.fixture(scope="module")
def meta(s3: S3Client) -> Any:
    return s3.meta


@given(case=cases(), page=st.integers(1, 4), most=st.integers(1, 4))
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
async def test_a_listing_is_that_of_the_logical_keys(
    meta: Any, case: tuple[set[str], Query], page: int, most: int
) -> None:
    stored, query = case
    entries = expected(stored, query)
    async with create_client(s3_client=SmallPages(meta, stored, page)) as client:
        (whole,) = await by_tokens(client, query, 1000)
        assert whole == entries
        assert await by_tokens(client, query, most) == in_pages(entries, most)
        if not query.after:  # the first version of the listing resumes where its marker says, which is the same word
            assert await by_markers(client, query, most) == in_pages(entries, most)


@given(stored=buckets(), page=st.integers(1, 4), most=st.integers(1, 4), foreign=st.data())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
async def test_pages_with_metadata_leave_nothing_out(
    meta: Any, stored: set[str], page: int, most: int, foreign: st.DataObject
) -> None:
    """Also where another tool keeps an object of its own under a name that ends in `.delta`: it has that name then."""
    deltas = sorted(key for key in stored if key.endswith(".delta"))
    others = foreign.draw(st.sets(st.sampled_from(deltas))) if deltas else set()
    s3_client = SmallPages(meta, stored, page, others)
    names = [key if (key + ".delta") not in others or size != s3_client.sizes[key + ".delta"] else key + ".delta"
             for key, size in expected(stored, Query())]  # fmt: skip
    async with create_client(s3_client=s3_client) as client:
        listed: list[str] = []
        token: str | None = None
        while True:
            answer = await client.list_objects_v2(
                Bucket="bucket", MaxKeys=most, ContinuationToken=token, FetchMetadata=True
            )
            for item in answer.get("Contents", ()):
                listed.append(item["Key"])
                is_delta = item["Metadata"]["deltaglider-is-delta"] == "true"
                stored_key = item["Key"] + ".delta" if is_delta else item["Key"]
                assert item["Size"] == s3_client.sizes[stored_key] * (1000 if is_delta else 1)
            token = answer.get("NextContinuationToken")
            if token is None:
                break
    assert listed == names


async def test_a_server_is_listed_as_the_model_says(s3_endpoint: str, awkward: str) -> None:
    prefixes = ["", "app", "app-", "app.d", "app.delta", "app/", "é", "a"]
    async with create_client(endpoint_url=s3_endpoint) as client:
        for prefix, delimiter, most in itertools.product(prefixes, ["", "/", "-"], [1, 3, 1000]):
            pages: list[str] = []
            token: str | None = None
            while True:
                page = await client.list_objects_v2(
                    Bucket=awkward, Prefix=prefix, Delimiter=delimiter, MaxKeys=most, ContinuationToken=token
                )
                pages += [key for key, _ in found(page)]
                token = page.get("NextContinuationToken")
                if token is None:
                    break
            assert pages == [key for key, _ in expected(AWKWARD, Query(prefix, delimiter))], (prefix, delimiter, most)


AWKWARD = (
    "app", "app.delta", "app!.delta", "app-.delta", "app-1.zip", "app-1.zip.delta", "app-2.zip.delta", "app.a",
    "app.d.delta", "app.delt", "app.delta-1.delta", "app.deltb.delta", "app/reference.bin", "app/x y.delta",
    "app/x y!.delta", "app/x y-1", "app.zip/z+1.delta", "app0", "appa.delta", "é.delta", "é-中.delta", "é/中",
    "reference.bin", ".deltaglider/tmp/app.zip", "%41.delta", "a&b<c>.delta",
)  # fmt: skip


@pytest.fixture(scope="module")
def awkward(s3: S3Client) -> str:
    """A bucket whose stored names are those of `AWKWARD`."""
    s3.create_bucket(Bucket="awkward-names")
    for key in AWKWARD:
        s3.put_object(Bucket="awkward-names", Key=key, Body=b"")
    return "awkward-names"


async def test_most_names_need_no_question_of_their_own(meta: Any) -> None:
    """Versions of one artifact are the usual case: what a page holds already tells about them."""
    stored = {
        "app/reference.bin",
        *(f"app/app-1.{minor}.{patch}.zip.delta" for minor in range(30) for patch in range(30)),
    }
    s3_client = SmallPages(meta, stored, 1000)
    async with create_client(s3_client=s3_client) as client:
        answer = await client.list_objects_v2(Bucket="bucket", Prefix="app/")
    assert answer["KeyCount"] == 900
    assert len(s3_client.lists) == 1


async def test_a_long_run_of_hidden_objects_costs_one_page(meta: Any) -> None:
    """A trash, or temporary copies, of any length."""
    stored = {"a.zip.delta", "z.zip.delta", *(f"b/.deltaglider/trash/{number:04}" for number in range(5000))}
    s3_client = SmallPages(meta, stored, 1000)
    async with create_client(s3_client=s3_client) as client:
        answer = await client.list_objects_v2(Bucket="bucket")
        assert [item["Key"] for item in answer["Contents"]] == ["a.zip", "z.zip"]
        assert len(s3_client.lists) == 2
        s3_client.lists.clear()
        answer = await client.list_objects_v2(Bucket="bucket", Delimiter="/")
        assert "CommonPrefixes" not in answer  # nothing of the user's is in it
        assert len(s3_client.lists) == 3


async def test_common_prefixes_are_not_read_through(meta: Any) -> None:
    """Those of a delimiter other than `/` are rolled up here, and what follows the first key is left out."""
    stored = {f"{letter}-{number:04}.zip.delta" for letter in "abc" for number in range(3000)}
    s3_client = SmallPages(meta, stored, 1000)
    async with create_client(s3_client=s3_client) as client:
        pages = await by_tokens(client, Query(delimiter="-"), 1)
        assert pages == [[("a-", None)], [("b-", None)], [("c-", None)]]
        assert len(s3_client.lists) <= 3 * 5  # however long they are
        s3_client.lists.clear()
        assert await by_tokens(client, Query(delimiter="-"), 1000) == [[entry for page in pages for entry in page]]
        assert len(s3_client.lists) <= 3 * 3


async def test_each_folder_of_a_page_is_looked_into_once(meta: Any) -> None:
    stored = {f"{number:03}/{name}" for number in range(100) for name in ("app.zip.delta", "reference.bin")}
    s3_client = SmallPages(meta, stored | {"050a/reference.bin", "050b/.deltaglider/trash/reference.bin"}, 1000)
    async with create_client(s3_client=s3_client) as client:
        answer = await client.list_objects_v2(Bucket="bucket", Delimiter="/")
        assert answer["CommonPrefixes"] == [{"Prefix": f"{number:03}/"} for number in range(100)]
        assert len(s3_client.lists) == 1 + 100 + 2
        s3_client.lists.clear()
        answer = await client.list_objects_v2(Bucket="bucket", Delimiter="/", MaxKeys=3)
        assert len(answer["CommonPrefixes"]) == 3
        assert len(s3_client.lists) <= 1 + 3 + 16  # and no thousand names for three


async def test_no_keys_are_asked_for_and_none_given(meta: Any) -> None:
    async with create_client(s3_client=SmallPages(meta, {"a", "b"})) as client:
        answer = await client.list_objects_v2(Bucket="bucket", MaxKeys=0)
        assert (answer["KeyCount"], answer["IsTruncated"]) == (0, False)
        with pytest.raises(InvalidRequestError, match="MaxKeys"):
            await client.list_objects_v2(Bucket="bucket", MaxKeys=-1)


@pytest.mark.parametrize("token", ["nothing", "e30=", "bnVsbA==", "ImEi", "é", "eyJhZnRlciI6IDF9"])
async def test_a_foreign_token_is_refused(meta: Any, token: str) -> None:
    async with create_client(s3_client=SmallPages(meta, {"a"})) as client:
        with pytest.raises(InvalidRequestError, match="ContinuationToken"):
            await client.list_objects_v2(Bucket="bucket", ContinuationToken=token)
