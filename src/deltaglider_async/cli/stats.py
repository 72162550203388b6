"""`dg stats`: what a bucket holds, and what deltas save."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.locations import parse_s3
from deltaglider_async.cli.options import Connection, EndpointUrl, Profile, Region
from deltaglider_async.cli.run import run

if TYPE_CHECKING:
    from deltaglider_async.types import BucketStats, StatsMode


def stats(
    context: typer.Context,
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="bucket, s3://bucket or s3://bucket/prefix")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    detailed: Annotated[bool, typer.Option("--detailed", help="Ask each delta what it stands for (default).")] = False,
    sampled: Annotated[bool, typer.Option("--sampled", help="Ask some deltas, estimate the others.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Use what a listing alone says.")] = False,
    remember: Annotated[
        bool,
        typer.Option("--remember", help="Keep in the bucket what was asked: the next run asks only for what is new."),
    ] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask all again, and with --remember keep that.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither use nor keep what was asked before.")] = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """\b
    Examples:
      dg stats bucket
      dg stats s3://bucket/releases/ --json
      dg stats bucket --quick
      dg stats bucket --remember

    Show how many objects a bucket or a part of it has, how large they are, and what is stored for them.
    """
    connection = Connection(endpoint_url, region, profile)
    place = parse_s3(bucket if bucket[:5].lower() == "s3://" else f"s3://{bucket}")
    if detailed + sampled + quick > 1:
        raise typer.BadParameter("--detailed, --sampled and --quick exclude each other.")
    if no_cache and (remember or refresh):
        raise typer.BadParameter("--no-cache excludes --remember and --refresh.")
    mode: StatsMode = "quick" if quick else "sampled" if sampled else "detailed"

    async def work() -> int:
        async with connection.client() as client:
            found = await client.get_bucket_stats(
                place.bucket,
                mode,
                use_cache=not no_cache,
                refresh_cache=refresh,
                prefix=place.folder,
                remember=remember,
            )
        if as_json:
            print(json.dumps(asdict(found), indent=2))
        else:
            _show(found, place.key)
        return 0

    run(context, work)


def _show(found: BucketStats, prefix: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from deltaglider_async.cli.text import printable, size

    table = Table(title=Text(printable(f"s3://{found.bucket}/{prefix}")), show_header=False, title_justify="left")
    table.add_column(style="cyan")
    table.add_column(justify="right")
    table.add_row("objects", f"{found.object_count:,}{'+' if found.object_limit_reached else ''}")
    table.add_row("  as deltas", f"{found.delta_objects:,}")
    table.add_row("  whole", f"{found.direct_objects:,}")
    table.add_row("original size", size(found.total_size))
    table.add_row("stored size", size(found.compressed_size))
    table.add_row("saved", f"{size(found.space_saved)} ({found.average_compression_ratio:.1%})")
    console = Console(highlight=False)
    console.print(table)
    for warning in found.warnings:
        console.print(Text(f"warning: {printable(warning)}", "yellow"), soft_wrap=True)
