"""`dg put-bucket-acl` and `dg get-bucket-acl`: who may do what with a bucket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deltaglider_async.cli.completion import places
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_bucket
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import run

BucketAcl = Literal["private", "public-read", "public-read-write", "authenticated-read"]
Bucket = Annotated[str, typer.Argument(metavar="BUCKET", help="bucket or s3://bucket", autocompletion=places)]


def _grant(permission: str, whose: str) -> Any:
    return typer.Option(f"--grant-{permission}", metavar="GRANTEES", help=f"Who may {whose}: id=..., uri=..., ...")


@grouped
def put_bucket_acl(
    context: typer.Context,
    bucket: Bucket,
    connection: Connection,
    acl: Annotated[BucketAcl | None, typer.Option("--acl", help="A canned ACL.")] = None,
    grant_full_control: Annotated[str | None, _grant("full-control", "do everything")] = None,
    grant_read: Annotated[str | None, _grant("read", "list objects")] = None,
    grant_read_acp: Annotated[str | None, _grant("read-acp", "read the ACL")] = None,
    grant_write: Annotated[str | None, _grant("write", "write objects")] = None,
    grant_write_acp: Annotated[str | None, _grant("write-acp", "write the ACL")] = None,
    access_control_policy: Annotated[
        str | None,
        typer.Option(
            "--access-control-policy", metavar="JSON", help="All of it, as get-bucket-acl prints it; or file://NAME."
        ),
    ] = None,
) -> None:
    """\b
    Examples:
      dg put-bucket-acl bucket --acl private
      dg put-bucket-acl s3://bucket --grant-read id=1234 --grant-full-control id=5678
      dg put-bucket-acl bucket --access-control-policy file://acl.json

    Say who may do what with a bucket, in place of what was said before: by a canned ACL, by grants, or by a whole
    policy.
    """
    place = _bucket(bucket)
    grants = {
        "GrantFullControl": grant_full_control,
        "GrantRead": grant_read,
        "GrantReadACP": grant_read_acp,
        "GrantWrite": grant_write,
        "GrantWriteACP": grant_write_acp,
    }
    arguments: dict[str, Any] = {name: value for name, value in grants.items() if value is not None}
    ways = [acl is not None, bool(arguments), access_control_policy is not None]
    if sum(ways) != 1:
        raise typer.BadParameter("Give one of --acl, --grant-... or --access-control-policy.")
    if acl is not None:
        arguments["ACL"] = acl
    if access_control_policy is not None:
        arguments["AccessControlPolicy"] = parse_policy(access_control_policy)

    async def work() -> int:
        async with connection.client() as client:
            await client.put_bucket_acl(Bucket=place.bucket, **arguments)
        return 0

    run(context, work)


@grouped
def get_bucket_acl(context: typer.Context, bucket: Bucket, connection: Connection) -> None:
    """\b
    Examples:
      dg get-bucket-acl bucket
      dg get-bucket-acl s3://bucket | jq .Owner
      dg get-bucket-acl bucket > acl.json

    Print who may do what with a bucket, as JSON.
    """
    place = _bucket(bucket)

    async def work() -> int:
        async with connection.client() as client:
            answer = dict(await client.get_bucket_acl(Bucket=place.bucket))
        answer.pop("ResponseMetadata", None)
        print(json.dumps(answer, indent=2))
        return 0

    run(context, work)


def parse_policy(text: str) -> dict[str, Any]:
    """A policy in JSON, or in a file that is named as `file://name`. Raises a usage error for anything else."""
    try:
        policy = json.loads(Path(text[7:]).read_text() if text.startswith("file://") else text)
    except OSError as error:
        raise typer.BadParameter(f"--access-control-policy {text}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(f"--access-control-policy: this is no JSON: {error}") from None
    if not isinstance(policy, dict) or not policy.keys() <= {"Grants", "Owner"}:
        raise typer.BadParameter("--access-control-policy: expected an object with Grants and Owner.")
    return policy


def _bucket(text: str) -> InS3:
    place = parse_bucket(text)
    if place.key:
        raise typer.BadParameter(f"{text!r} is no bucket. Expected: {place.bucket} or s3://{place.bucket}")
    return place
