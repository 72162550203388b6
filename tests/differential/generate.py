"""Programs made up by Hypothesis: few, awkward keys, similar contents, and every argument that matters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from tests.differential.program import (
    NO_ETAG,
    Call,
    Content,
    Digest,
    EtagOf,
    ModifiedOf,
    PartsOf,
    Program,
    Source,
    UploadOf,
    VersionOf,
)

#: Names that sort around `.delta`, a folder named like a file, and characters that are spelled in several ways.
KEYS = ("a", "a-1", "a.d", "a.e", "a/b", "a/b c+%41é", "a/b/c", "a0", "ü//x&<y>")
PREFIXES = ("", "a", "a.", "a.d", "a/", "a/b", "a-", "nothing", "a.delta")
_THEN = datetime(2001, 2, 3, tzinfo=UTC)

Arguments = st.SearchStrategy[dict[str, Any]]
#: Two or three of them for each program: calls should mostly meet what other calls have left.
keys = st.shared(st.lists(st.sampled_from(KEYS), min_size=2, max_size=3, unique=True), key="keys").flatmap(
    st.sampled_from
)
numbers = st.integers(0, 3)
contents = st.builds(Content, st.sampled_from(["similar", "similar", "similar", "similar", "unrelated"]), numbers)
bodies = st.one_of(
    contents,
    contents,
    st.builds(Content, st.just("similar"), numbers, st.just(4096), st.sampled_from(["bytearray", "file"])),
    st.builds(Content, st.just("text"), numbers, st.just(4096), st.sampled_from(["bytes", "str", "file"])),
    st.builds(Content, st.sampled_from(["empty", "gzip"]), numbers),
    st.builds(Content, st.just("similar"), numbers, st.sampled_from([1, 4000])),
)
uploads = st.integers(0, 2)
metadata = st.sampled_from([{}, {"k": "v"}, {"Name": "with spaces", "empty": ""}, {"é": "x"}, {"k": "ü"}])
taggings = st.sampled_from(["k=v", "a=1&b=2", "k=", "%C3%BC=%20+", "k=v&k=w", ""])
headers: Arguments = st.fixed_dictionaries(
    {},
    optional={
        "ContentType": st.sampled_from(["text/plain", "application/zip; a=b"]),
        "CacheControl": st.just("max-age=60"),
        "ContentDisposition": st.just('attachment; filename="a b.zip"'),
        "ContentEncoding": st.sampled_from(["identity", "gzip"]),
        "ContentLanguage": st.just("de"),
        "Expires": st.just(_THEN),
        "Metadata": metadata,
        "StorageClass": st.sampled_from(["STANDARD", "REDUCED_REDUNDANCY"]),
        "WebsiteRedirectLocation": st.just("/elsewhere"),
    },
)


def maybe(strategy: Arguments, share: int = 2) -> Arguments:
    """Those arguments, in one of so many calls."""
    none: Arguments = st.just({})
    return st.integers(1, share).flatmap(lambda drawn: strategy if drawn == share else none)


def given(**arguments: Any) -> Arguments:
    """A strategy for a dict of arguments, from strategies or values."""
    return st.fixed_dictionaries(
        {name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in arguments.items()}
    )


def both(*parts: Arguments) -> Arguments:
    """All of these arguments, later ones before earlier ones."""
    return st.tuples(*parts).map(lambda drawn: {name: value for part in drawn for name, value in part.items()})


def etag_of(key: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([EtagOf(key), EtagOf(key), NO_ETAG])


def conditions_on_reading(key: str) -> Arguments:
    """At most two of the four conditions."""
    when = st.sampled_from([ModifiedOf(key), _THEN])
    each: dict[str, Any] = {
        "IfMatch": etag_of(key), "IfNoneMatch": etag_of(key), "IfModifiedSince": when, "IfUnmodifiedSince": when,
    }  # fmt: skip
    names = st.lists(st.sampled_from(sorted(each)), max_size=2, unique=True)
    return names.flatmap(lambda chosen: given(**{name: each[name] for name in sorted(chosen)}))


ranges = st.sampled_from(
    ["bytes=0-4", "bytes=4090-9999", "bytes=2040-2060", "bytes=-5", "bytes=7-", "bytes=0-0", "bytes=9000-",
     "bytes=5-2", "bytes=-0", "bytes=-99999", "elephants=1-2", "bytes=0-1,3-4"]
)  # fmt: skip
replaced_headers: Arguments = st.fixed_dictionaries(
    {},
    optional={
        "ResponseContentType": st.just("text/x"),
        "ResponseCacheControl": st.just("no-store"),
        "ResponseContentDisposition": st.just("inline"),
        "ResponseContentEncoding": st.just("identity"),
        "ResponseContentLanguage": st.just("fr"),
        "ResponseExpires": st.just(_THEN),
    },
)


@st.composite
def put_object(draw: st.DrawFn) -> dict[str, Any]:
    key, body = draw(keys), draw(bodies)
    algorithm = draw(st.sampled_from(["CRC32", "SHA1", "SHA256"]))
    digest = st.builds(Digest, st.just(algorithm), st.just(body), st.sampled_from([True, True, False]))
    if body.wrapped == "str":
        digest = st.builds(Digest, st.just(algorithm), st.just(body))
    extra = st.one_of(
        headers,
        given(Tagging=taggings),
        given(ChecksumAlgorithm=st.sampled_from(["CRC32", "SHA1", "SHA256"])),
        given(**{f"Checksum{algorithm}": digest}),
        given(ContentMD5=st.builds(Digest, st.just("MD5"), st.just(body))),
        given(IfNoneMatch="*"),
        given(IfMatch=etag_of(key)),
        given(ServerSideEncryption="AES256"),
        given(ACL=st.sampled_from(["private", "public-read"])),
    )
    return {"Key": key, "Body": body} | draw(maybe(extra))


@st.composite
def get_object(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(keys)
    extra = st.one_of(
        given(Range=ranges),
        conditions_on_reading(key),
        both(given(Range=ranges), conditions_on_reading(key)),
        replaced_headers,
        given(PartNumber=st.sampled_from([1, 2])),
        given(ChecksumMode="ENABLED"),
    )
    return {"Key": key} | draw(maybe(extra))


@st.composite
def head_object(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(keys)
    extra = st.one_of(
        given(Range=ranges),
        conditions_on_reading(key),
        replaced_headers,
        given(PartNumber=st.sampled_from([1, 2])),
        given(ChecksumMode="ENABLED"),
    )
    return {"Key": key} | draw(maybe(extra))


attributes = st.lists(
    st.sampled_from(["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]), min_size=1, unique=True
)


@st.composite
def delete_object(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(keys)
    return {"Key": key} | draw(maybe(given(IfMatch=etag_of(key)), 4))


delete_objects: Arguments = given(
    Delete=st.fixed_dictionaries(
        {"Objects": st.lists(keys.map(lambda key: {"Key": key}), min_size=1, max_size=4)},
        optional={"Quiet": st.booleans()},
    )
)
sources = st.builds(
    Source,
    keys,
    st.booleans(),
    bucket=st.sampled_from(["", "", "", "", "", "no-such-bucket-anywhere"]),
)


@st.composite
def copy_object(draw: st.DrawFn) -> dict[str, Any]:
    source = draw(sources)
    when = st.sampled_from([ModifiedOf(source.key), _THEN])
    extra = st.one_of(
        both(given(MetadataDirective="REPLACE"), headers),
        both(given(MetadataDirective="COPY"), headers),
        given(TaggingDirective="REPLACE", Tagging=taggings),
        given(CopySourceIfMatch=etag_of(source.key)),
        given(CopySourceIfNoneMatch=etag_of(source.key)),
        given(CopySourceIfModifiedSince=when),
        given(CopySourceIfUnmodifiedSince=when),
        given(StorageClass="REDUCED_REDUNDANCY"),
        given(ChecksumAlgorithm="SHA256"),
    )
    return {"Key": draw(keys), "CopySource": source} | draw(maybe(extra))


def listing(**more: st.SearchStrategy[Any]) -> Arguments:
    return st.fixed_dictionaries(
        {},
        optional={
            "Prefix": st.sampled_from(PREFIXES),
            "Delimiter": st.sampled_from(["/", "/", "/", ".", "b", "-1", ".d", ""]),
            "MaxKeys": st.sampled_from([1, 1, 2, 3, 1000, 0]),
            "EncodingType": st.just("url"),
            **more,
        },
    )


begun_at: Arguments = uploads.flatmap(
    lambda number: st.one_of(
        given(Key=UploadOf(number), UploadId=UploadOf(number)),
        given(Key=UploadOf(number), UploadId=UploadOf(number)),
        given(Key=UploadOf(number), UploadId=UploadOf(number)),
        given(Key=keys, UploadId=UploadOf(number)),
        given(Key=keys, UploadId="bm8gc3VjaCB1cGxvYWQ"),
    )
)
part_numbers = st.sampled_from([1, 1, 1, 1, 2, 3])
part_numbers_accepted_or_not = st.one_of(part_numbers, part_numbers, st.sampled_from([0, 10_001]))
completions: Arguments = uploads.flatmap(
    lambda number: both(
        given(Key=UploadOf(number), UploadId=UploadOf(number)),
        st.one_of(
            given(MultipartUpload=PartsOf(number)),
            given(MultipartUpload=PartsOf(number), IfNoneMatch="*"),
            st.sampled_from(["last", "reversed", "wrong etag", "missing part", "none"]).flatmap(
                lambda which: given(MultipartUpload=PartsOf(number, which))
            ),
        ),
    )
)
tag_sets = st.lists(
    st.fixed_dictionaries({"Key": st.sampled_from(["k", "ü", "a b"]), "Value": st.sampled_from(["v", "", "1+2"])}),
    max_size=3,
).map(lambda tags: {"TagSet": tags})

#: What each operation is called with. The operations that these tests compare are the names here.
CALLS: dict[str, Callable[[], Arguments] | Arguments] = {
    "put_object": put_object,
    "get_object": get_object,
    "head_object": head_object,
    "delete_object": delete_object,
    "copy_object": copy_object,
    "list_objects": listing(Marker=st.sampled_from(["a", "a.", "a.d", "a/", "b"])),
    "list_objects_v2": listing(
        StartAfter=st.sampled_from(["a", "a.", "a.d", "a.delta", "a/", "b"]), FetchOwner=st.booleans()
    ),
    "delete_objects": delete_objects,
    "get_object_attributes": given(Key=keys, ObjectAttributes=attributes),
    "list_object_versions": listing(KeyMarker=st.sampled_from(["a", "a.", "a.d", "a/"])),
    "create_multipart_upload": both(given(Key=keys), maybe(headers, 3), maybe(given(Tagging=taggings), 4)),
    "upload_part": both(begun_at, given(PartNumber=part_numbers_accepted_or_not, Body=contents)),
    "upload_part_copy": both(
        begun_at,
        given(PartNumber=part_numbers, CopySource=sources),
        maybe(given(CopySourceRange=st.sampled_from(["bytes=0-99", "bytes=5-5", "bytes=0-99999"])), 3),
    ),
    "complete_multipart_upload": completions,
    "abort_multipart_upload": begun_at,
    "list_parts": both(begun_at, st.fixed_dictionaries({}, optional={"MaxParts": st.sampled_from([1, 2])})),
    "list_multipart_uploads": st.fixed_dictionaries(
        {},
        optional={
            "Prefix": st.sampled_from(PREFIXES),
            "MaxUploads": st.sampled_from([1, 2]),
            "Delimiter": st.just("/"),
        },
    ),
    "put_object_tagging": given(Key=keys, Tagging=tag_sets),
    "get_object_tagging": given(Key=keys),
    "delete_object_tagging": given(Key=keys),
    "get_object_acl": given(Key=keys),
    "put_object_acl": given(Key=keys, ACL=st.sampled_from(["private", "public-read"])),
}

#: How often, among the others: most programs should have objects to speak of.
_WEIGHTS = {"put_object": 4, "get_object": 3, "copy_object": 3, "head_object": 2, "list_objects_v2": 2,
            "create_multipart_upload": 2, "upload_part": 3, "complete_multipart_upload": 3, "wrong": 2}  # fmt: skip
_LISTINGS = ("list_objects", "list_objects_v2", "list_object_versions", "list_parts", "list_multipart_uploads")


def arguments_of(name: str) -> Arguments:
    """What an operation is called with."""
    strategy = CALLS[name]
    return strategy() if callable(strategy) else strategy


def call_of(name: str) -> st.SearchStrategy[Call]:
    """Calls of one operation."""
    return arguments_of(name).map(lambda arguments: Call(name, arguments, pages=name in _LISTINGS))


#: Arguments that boto3 refuses before it asks the service, and things that are not there.
WRONG = st.sampled_from(
    [
        Call("put_object", {"Key": "a", "Body": b"x", "Metdata": {}}),
        Call("put_object", {"Key": "a", "Body": 5}),
        Call("put_object", {"Key": "", "Body": b"x"}),
        Call("put_object", {"Key": "a", "Body": b"x", "Metadata": {"k": 1}}),
        Call("put_object", {"Key": "a", "Body": b"x", "Tagging": 1}),
        Call("put_object", {"Key": "k" * 1025, "Body": b"x"}),
        Call("put_object", {"Bucket": "no-such-bucket-anywhere", "Key": "a", "Body": b"x"}),
        Call("put_object", {"Bucket": "not/a bucket", "Key": "a", "Body": b"x"}),
        Call("get_object", {"Key": "a", "Rnage": "bytes=0-1"}),
        Call("get_object", {"Key": "a", "Range": 5}),
        Call("get_object", {"Key": "", }),
        Call("get_object", {"Bucket": "no-such-bucket-anywhere", "Key": "a"}),
        Call("head_object", {"Bucket": "no-such-bucket-anywhere", "Key": "a"}),
        Call("delete_object", {"Bucket": "no-such-bucket-anywhere", "Key": "a"}),
        Call("delete_object", {"Key": "a", "Nothing": 1}),
        Call("copy_object", {"Key": "a", "CopySource": {"Bucket": "b"}}),
        Call("list_objects_v2", {"Bucket": "no-such-bucket-anywhere"}),
        Call("list_objects_v2", {"MaxKeys": -1}),
        Call("list_objects_v2", {"MaxKeys": "1"}),
        Call("list_objects", {"Bucket": "no-such-bucket-anywhere"}),
        Call("list_objects", {"Delimter": "/"}),
    ]
)  # fmt: skip


@st.composite
def upload_in_parts(draw: st.DrawFn) -> Program:
    """A multipart upload from its beginning to its end, as programs make it."""
    last = UploadOf(-1)
    begun = draw(call_of("create_multipart_upload"))
    sizes = draw(st.lists(contents, min_size=1, max_size=2))
    if draw(st.integers(0, 9)) == 0:
        sizes = [Content("similar", 0, 5 * 1024 * 1024), *sizes[:1]]  # parts before the last have at least that
    sent = [
        Call("upload_part", {"Key": last, "UploadId": last, "PartNumber": number, "Body": body})
        for number, body in enumerate(sizes, 1)
    ]
    listed = [Call("list_parts", {"Key": last, "UploadId": last}, pages=True)]
    ended = Call("complete_multipart_upload", {"Key": last, "UploadId": last, "MultipartUpload": PartsOf(-1)})
    read = Call("get_object", {"Key": begun.arguments["Key"]})
    return [begun, *sent, *(listed if draw(st.booleans()) else []), ended, read]


@st.composite
def programs(draw: st.DrawFn, names: tuple[str, ...], without: Callable[[Call], bool]) -> Program:
    """A few puts, then some calls of any kind. `without`: calls that the server at hand cannot be compared on."""
    weighted = [name for name in (*names, "wrong") for _ in range(_WEIGHTS.get(name, 1))]
    if "complete_multipart_upload" in names:
        weighted += ["in parts"] * 3
    others = {"wrong": WRONG.map(lambda call: [call]), "in parts": upload_in_parts()}
    puts = draw(st.lists(call_of("put_object"), min_size=1, max_size=2))
    step = st.sampled_from(weighted).flatmap(
        lambda name: others[name] if name in others else call_of(name).map(lambda call: [call])
    )
    rest = draw(st.lists(step, min_size=2, max_size=6))
    return [call for call in [*puts, *chain.from_iterable(rest)] if not without(call)]


@st.composite
def versioned_programs(draw: st.DrawFn, without: Callable[[Call], bool]) -> Program:
    """Puts and deletes in a bucket that keeps versions, and calls that name one."""

    def of_a_version(name: str) -> st.SearchStrategy[Call]:
        arguments = keys.flatmap(lambda key: given(Key=key, VersionId=st.builds(VersionOf, st.just(key), numbers)))
        return arguments.map(lambda drawn: Call(name, drawn))

    steps = st.one_of(
        call_of("put_object"),
        call_of("put_object"),
        call_of("delete_object"),
        call_of("copy_object"),
        call_of("list_object_versions"),
        call_of("list_objects_v2"),
        st.sampled_from(("get_object", "head_object", "get_object_tagging")).flatmap(of_a_version),
    )
    begun = Call("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}})
    rest = draw(st.lists(steps, min_size=3, max_size=8))
    return [begun, *(call for call in rest if not without(call))]
