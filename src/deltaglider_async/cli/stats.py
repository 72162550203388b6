"""`dg stats`: what a bucket holds, what deltas save, and what that costs."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Asking, Printing
from deltaglider_async.cli.completion import places
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_bucket
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import run
from deltaglider_async.cli.savings import NAMED, USUAL_PRICE, Figures, Folder, Problem, orphaned, poor, ranked
from deltaglider_async.cli.seen import Seen

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient
    from deltaglider_async.types import DeltaspaceStats, StatsMode


@grouped
def stats(
    context: typer.Context,
    bucket: Annotated[
        str, typer.Argument(metavar="BUCKET", help="bucket, s3://bucket or s3://bucket/prefix", autocompletion=places)
    ],
    printing: Printing,
    asking: Asking,
    connection: Connection,
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
    by_prefix: Annotated[
        bool, typer.Option("--by-prefix", help="Each folder too, those first in which most could be saved.")
    ] = False,
    price_per_gb: Annotated[
        float,
        typer.Option(
            "--price-per-gb", metavar="DOLLARS", min=0, help="Of a GB (2**30 bytes) for a month. Default: 0.023."
        ),
    ] = USUAL_PRICE,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write all that as a page for a browser.")
    ] = None,
) -> None:
    """\b
    Examples:
      dg stats bucket
      dg stats s3://bucket/releases/ --json
      dg stats bucket --by-prefix
      dg stats bucket --html report.html

    Show how many objects a bucket or a part of it has, how large they are, what is stored for them, and what that
    costs a month.
    """
    place = parse_bucket(bucket)
    if detailed + sampled + quick > 1:
        raise typer.BadParameter("--detailed, --sampled and --quick exclude each other.")
    if no_cache and (remember or refresh):
        raise typer.BadParameter("--no-cache excludes --remember and --refresh.")
    mode: StatsMode = "quick" if quick else "sampled" if sampled else "detailed"
    printing.set_color()
    seen = Seen(shown=not printing.silent)

    async def work() -> int:
        async with connection.client() as client:
            found = await client.get_bucket_stats(
                place.bucket,
                mode,
                use_cache=not no_cache,
                refresh_cache=refresh,
                prefix=place.folder,
                remember=remember,
                deltaspaces=by_prefix or html is not None,
                progress=seen.count,
                **dict[str, Any](asking.access),
            )
            seen.clear()
            figures = Figures(f"s3://{place.bucket}/{place.folder}", found, price_per_gb)
            if by_prefix or html is not None:
                folders = ranked(found.deltaspaces)
                figures = replace(figures, folders=folders, problems=await _problems(client, folders))
        if html is not None:
            await _write(html, figures)
        if printing.silent:
            return 0
        if as_json:
            print(json.dumps(_record(figures, by_prefix=by_prefix), indent=2))
        else:
            from deltaglider_async.cli.stats_text import show

            show(figures, by_prefix=by_prefix)
        return 0

    run(context, work, page_size=asking.page_size)


def _record(figures: Figures, *, by_prefix: bool) -> dict[str, Any]:
    costs = {
        "price_per_gb": figures.price,
        "monthly_cost_before": figures.cost_before,
        "monthly_cost_after": figures.cost_after,
    }
    record = asdict(replace(figures.stats, deltaspaces=())) | costs
    del record["deltaspaces"]
    if by_prefix:
        record["deltaspaces"] = [folder.record() for folder in figures.folders]
        record["problems"] = [asdict(problem) for problem in figures.problems]
    return record


async def _problems(client: DeltaGliderClient, folders: list[Folder]) -> list[Problem]:
    found = [orphaned(folder) for folder in folders if folder.stats.orphaned][:NAMED]
    for folder in [folder for folder in folders if folder.poor][:NAMED]:
        found.append(poor(folder, await _newest(client, folder.stats)))
    return found


async def _newest(client: DeltaGliderClient, stats: DeltaspaceStats) -> str:
    """The key of the folder's largest object among those of the newest day: what a new reference may be made of."""
    page = await client.list_objects_v2(Bucket=stats.bucket, Prefix=stats.prefix, Delimiter="/")
    newest = max(
        page.get("Contents", []), key=lambda entry: (entry["LastModified"].date(), entry["Size"]), default=None
    )
    return newest["Key"] if newest else ""


async def _write(path: Path, figures: Figures) -> None:
    from deltaglider_async.cli.stats_page import page
    from deltaglider_async.streams.threads import in_thread

    await in_thread(_replace, path, page(figures).encode())


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step, as others see it."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
