"""`dg head`: what is known of an object, and how it is stored."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deltaglider_async.cli.aws_options import RequestPayer
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_object
from deltaglider_async.cli.options import AsJson, Connection
from deltaglider_async.cli.run import run

#: What is shown of the headers that readers get, where they are set.
_HEADERS = {
    "ContentType": "content type",
    "CacheControl": "cache control",
    "ContentDisposition": "content disposition",
    "ContentEncoding": "content encoding",
    "ContentLanguage": "content language",
    "ServerSideEncryption": "encryption",
    "SSEKMSKeyId": "encryption key",
    "VersionId": "version",
    "Expiration": "expires",
    "Restore": "restored",
    "ReplicationStatus": "replication",
}


@grouped
def head(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/key", autocompletion=s3_urls)],
    connection: Connection,
    version_id: Annotated[str | None, typer.Option("--version-id", metavar="ID", help="That version of it.")] = None,
    request_payer: RequestPayer = None,
    as_json: AsJson = False,
) -> None:
    """\b
    Examples:
      dg head s3://bucket/releases/app-1.2.zip
      dg head --json s3://bucket/releases/app-1.2.zip | jq -r .sha256
      dg head --version-id 3sL4kqtJ s3://bucket/releases/app-1.2.zip

    Show what is known of an object without reading it: whether it is stored whole or as a delta, sizes, the reference
    that it needs, its SHA-256, metadata and times.
    """
    place = parse_object(url)
    optional = {"VersionId": version_id, "RequestPayer": request_payer}
    arguments: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}

    async def work() -> int:
        from deltaglider_async.bulk.sources import head_object
        from deltaglider_async.errors import NotFoundError

        async with connection.client(one_object=True) as client:
            answer: dict[str, Any] = {**await head_object(client, place.bucket, place.key, arguments)}
            reference: int | None = None
            if key := answer["DeltaGliderInfo"]["ReferenceKey"]:
                access = {name: value for name, value in arguments.items() if name != "VersionId"}
                with contextlib.suppress(NotFoundError):  # which is what is shown
                    reference = (await client.head_object(Bucket=place.bucket, Key=key, **access))["ContentLength"]
        known = record(place, answer, reference)
        if as_json:
            print(json.dumps(known))
        else:
            for line in lines(place, answer, known):
                print(_shown(line))
        return 0

    run(context, work)


def record(place: InS3, answer: Mapping[str, Any], reference_size: int | None) -> dict[str, Any]:
    """What `--json` prints. Sizes in bytes; times in ISO 8601, UTC."""
    info = answer["DeltaGliderInfo"]
    checksum = answer.get("ChecksumSHA256")
    return {
        "kind": "object",
        "url": str(place),
        "size": info["OriginalSize"],
        "stored_size": info["StoredSize"],
        "is_delta": info["IsDelta"],
        "ratio": info["CompressionRatio"],
        "reference": info["ReferenceKey"],
        "reference_size": reference_size,
        # S3's own of a multipart upload, `digest-number`, is none of the content.
        "sha256": base64.b64decode(checksum).hex() if checksum and "-" not in checksum else None,
        "etag": str(answer["ETag"]).strip('"'),
        "modified": answer["LastModified"].astimezone(UTC).isoformat(),
        "storage_class": answer.get("StorageClass", "STANDARD"),
        "metadata": dict(answer.get("Metadata", {})),
        "headers": {name: str(answer[name]) for name in _HEADERS if answer.get(name)},
    }


def lines(place: InS3, answer: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""

    def row(name: str, value: object) -> str:
        return f"{name:<20} {value}"

    yield str(place)
    if known["is_delta"]:
        saved = 1 - known["ratio"]
        yield row("stored as", "a delta")
        yield row("size", _bytes(known["size"]))
        yield row("stored size", f"{_bytes(known['stored_size'])}, {known['ratio']:.1%} of it: {saved:.1%} saved")
        yield row("reference", f"s3://{place.bucket}/{known['reference']}")
        size = known["reference_size"]
        yield row(
            "",
            "which is NOT THERE. `dg fsck` finds out where it is"
            if size is None
            else f"{_bytes(size)}, stored once for its folder",
        )
    else:
        yield row("stored as", "itself, whole")
        yield row("size", _bytes(known["size"]))
    yield row("SHA-256", known["sha256"] or "not recorded")
    yield row("ETag", f"{known['etag']}, of what is stored")
    yield row("put", _moment(answer["LastModified"]))
    if (mtime := _mtime(known["metadata"])) is not None:
        yield row("file changed", _moment(mtime))
    yield row("storage class", known["storage_class"])
    for name, value in known["headers"].items():
        yield row(_HEADERS[name], value)
    for name, value in sorted(known["metadata"].items()):
        yield row("metadata", f"{name}={value}")


def _bytes(count: int) -> str:
    from deltaglider_async.cli.text import size

    return f"{size(count)} ({count:,} bytes)" if count >= 1000 else f"{count} byte{'s' if count != 1 else ''}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _mtime(metadata: Mapping[str, str]) -> datetime | None:
    """The file's own time, where `dg` has put it."""
    try:
        return datetime.fromtimestamp(float(metadata["mtime"]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return None


def _shown(line: str) -> str:
    from deltaglider_async.cli.text import shown

    return shown(line, sys.stdout)
