"""Programs that show each difference which docs/compatibility.md allows, and those that have found something before."""

from __future__ import annotations

from tests.differential.program import (
    NO_ETAG,
    Content,
    Digest,
    EtagOf,
    ModifiedOf,
    PartsOf,
    Program,
    Source,
    UploadOf,
    call,
)
from tests.differential.program import every_page as listing

_ONE, _TWO = Content("similar", 1), Content("similar", 2)

WITNESSES: tuple[Program, ...] = (
    [
        call("put_object", Key="a", Body=_ONE),
        call("put_object", Key="a/b", Body=_TWO),
        call("get_object", Key="a"),
        listing("list_objects", MaxKeys=1),
        listing("list_objects", Prefix="nothing"),
        listing("list_objects_v2", Delimiter="/"),
        listing("list_object_versions"),
        call("delete_objects", Delete={"Objects": [{"Key": "a"}, {"Key": "a/b"}]}),
    ],
    # A name that sorts before `.`, one that sorts after it, and one that looks like a delta.
    [
        *[call("put_object", Key=key, Body=_ONE) for key in ("a", "a-1", "a.d", "a.e", "a/b")],
        listing("list_objects_v2", MaxKeys=1),
        listing("list_objects_v2", StartAfter="a", MaxKeys=2),
        listing("list_objects_v2", Prefix="a.", Delimiter=".d"),
    ],
    [
        call("put_object", Key="c", Body=_ONE),
        call("put_object", Key="c", Body=_TWO, IfNoneMatch="*"),
        call("put_object", Key="c", Body=_TWO, IfMatch=NO_ETAG),
        call("put_object", Key="c", Body=_TWO, IfMatch=EtagOf("c")),
        call("get_object", Key="c", IfNoneMatch=EtagOf("c")),
        call("get_object", Key="c", IfMatch=NO_ETAG),
        call("get_object", Key="c", IfModifiedSince=ModifiedOf("c")),
    ],
    [
        call("put_object", Key="c", Body=_ONE),
        call("copy_object", Key="b", CopySource=Source("c")),
        call("copy_object", Key="c", CopySource=Source("c")),
        call("copy_object", Key="b", CopySource=Source("missing")),
        call("copy_object", Key="b", CopySource=Source("c", bucket="no-such-bucket-anywhere")),
    ],
    [
        call("create_multipart_upload", Key="c"),
        call("upload_part", Key="c", UploadId=UploadOf(0), PartNumber=1, Body=_ONE),
        listing("list_parts", Key="c", UploadId=UploadOf(0)),
        listing("list_multipart_uploads"),
        call("complete_multipart_upload", Key="c", UploadId=UploadOf(0), MultipartUpload=PartsOf(0)),
        call("get_object", Key="c"),
        call("complete_multipart_upload", Key="c", UploadId=UploadOf(0), MultipartUpload=PartsOf(0)),
        call("complete_multipart_upload", Key="c", UploadId=UploadOf(0), MultipartUpload=PartsOf(0, "missing part")),
        call("get_object_torrent", Key="c"),
    ],
    # A candidate that came in parts and is no use as a delta.
    [
        call("put_object", Key="c", Body=_ONE),
        call("create_multipart_upload", Key="b"),
        call("upload_part", Key="b", UploadId=UploadOf(0), PartNumber=1, Body=Content("unrelated", 1)),
        call("complete_multipart_upload", Key="b", UploadId=UploadOf(0), MultipartUpload=PartsOf(0)),
        call("head_object", Key="b"),
    ],
    [
        call("put_object", Key="c", Body=_ONE),
        call("delete_objects", Delete={"Objects": [{"Key": "c"}], "Quiet": True}),
        call("put_object", Key="c", Body=_ONE, ChecksumCRC32=Digest("CRC32", _ONE)),
        call("list_object_versions"),
    ],
)
