"""`dg mb`: a new bucket."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_s3
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import Code, run

NewBucket = Annotated[str, typer.Argument(metavar="URL", help="s3://bucket")]


@grouped
def mb(context: typer.Context, url: NewBucket, connection: Connection) -> None:
    """\b
    Examples:
      dg mb s3://nightly-builds
      dg mb s3://nightly-builds --region eu-central-1
      dg mb s3://nightly-builds --endpoint-url http://localhost:9000

    Create a bucket, in the region that is asked.
    """
    place = bucket_alone(url)

    async def work() -> Code:
        from deltaglider_async.errors import NotFoundError, StorageIOError

        async with connection.client() as client:
            region = client.meta.region_name
            # S3 itself refuses the name of its first region.
            arguments: dict[str, Any] = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            try:
                await client.create_bucket(Bucket=place.bucket, **arguments)
            except (NotFoundError, StorageIOError) as error:
                print(f"make_bucket failed: s3://{place.bucket} {error}", file=sys.stderr)
                return Code.FAILED
        print(f"make_bucket: {place.bucket}")
        return Code.DONE

    run(context, work, refused=Code.FAILED)


def bucket_alone(url: str) -> InS3:
    """The bucket that an argument names. Raises a usage error for a key in it."""
    place = parse_s3(url)
    if place.key:
        raise typer.BadParameter(f"{url!r} is no bucket. Expected: s3://{place.bucket}")
    return place
