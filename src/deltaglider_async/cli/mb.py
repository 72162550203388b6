"""`dg mb`: a new bucket."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_s3
from deltaglider_async.cli.options import AsJson, Connection
from deltaglider_async.cli.run import Code, run

NewBucket = Annotated[str, typer.Argument(metavar="URL", help="s3://bucket")]


@grouped
def mb(
    context: typer.Context,
    url: NewBucket,
    connection: Connection,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tags", metavar="KEY VALUE", help="A tag of the bucket, in two words; once for each."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """\b
    Examples:
      dg mb s3://nightly-builds
      dg mb s3://nightly-builds --region eu-central-1
      dg mb s3://nightly-builds --tags team builds --tags stage nightly

    Create a bucket, in the region that is asked.
    """
    place = bucket_alone(url)
    words = tags or []
    if len(words) % 2:
        raise typer.BadParameter(f"--tags {words[-1]!r}: expected two words, a key and a value.")

    async def work() -> Code:
        from deltaglider_async.errors import NotFoundError, StorageIOError

        async with connection.client() as client:
            region = client.meta.region_name
            # S3 itself refuses the name of its first region.
            configuration: dict[str, Any] = {} if region == "us-east-1" else {"LocationConstraint": region}
            if words:
                pairs = zip(words[::2], words[1::2], strict=True)
                configuration["Tags"] = [{"Key": key, "Value": value} for key, value in pairs]
            arguments: dict[str, Any] = {"CreateBucketConfiguration": configuration} if configuration else {}
            try:
                await client.create_bucket(Bucket=place.bucket, **arguments)
            except (NotFoundError, StorageIOError) as error:
                print(f"make_bucket failed: s3://{place.bucket} {error}", file=sys.stderr)
                return Code.FAILED
        if as_json:
            print(json.dumps({"kind": "bucket", "name": place.bucket, "region": region}))
        else:
            print(f"make_bucket: {place.bucket}")
        return Code.DONE

    run(context, work, refused=Code.FAILED)


def bucket_alone(url: str) -> InS3:
    """The bucket that an argument names. Raises a usage error for a key in it."""
    place = parse_s3(url)
    if place.key:
        raise typer.BadParameter(f"{url!r} is no bucket. Expected: s3://{place.bucket}")
    return place
