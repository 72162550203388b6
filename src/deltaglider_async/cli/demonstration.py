"""What `dg demo` shows: ten releases of a program go to S3 as deltas, and come back byte for byte."""

from __future__ import annotations

import filecmp
import gc
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from botocore.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deltaglider_async.bulk import plan, sources
from deltaglider_async.bulk.actions import Upload
from deltaglider_async.bulk.events import Event, Finished, Summary
from deltaglider_async.bulk.found import LocalFile
from deltaglider_async.bulk.transfer import transfer
from deltaglider_async.cli import releases, text
from deltaglider_async.cli.local_server import local_s3
from deltaglider_async.cli.progress import Tally, display, follow
from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.session import create_client
from deltaglider_async.types import BucketStats

_BUCKET = "demo"
_PREFIX = "releases/"


async def demonstrate(folder: Path, *, debug: bool = False) -> int:
    """Store ten releases, get them back, compare every byte, and print how it went. Returns the exit code.

    `folder` is made if need be, and keeps the releases. Raises `LocalServerError` where no server can be started,
    and `IntegrityMismatchError` if a byte is wrong.
    """
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    paths = await _releases(folder)
    gc.enable()
    async with (
        local_s3() as endpoint_url,
        create_client(
            endpoint_url=endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="demo",
            aws_secret_access_key="demo",  # noqa: S106, the local server takes anything
            config=Config(proxies={}),  # one that is set up for the internet does not lead back to this machine
        ) as client,
    ):
        await client.create_bucket(Bucket=_BUCKET)

        _heading(f"Upload to a local S3 server at {endpoint_url}")
        finished: list[Finished] = []
        uploads = plan.planned(_files(paths), plan.uploads(_BUCKET, _PREFIX))
        if code := await follow(_noting(finished, transfer(client, uploads)), Tally(), display(debug=debug)):
            return code
        _print_uploads(finished)

        _heading("Download, and compare every byte")
        async with _temporary_folder(folder) as downloaded:
            downloads = plan.planned(sources.listing(client, _BUCKET, _PREFIX), plan.downloads(downloaded))
            if code := await follow(transfer(client, downloads), Tally(), display(debug=debug)):
                return code
            identical = await run_sync(_compare, paths, downloaded)
        print(f"{text.count(len(paths), 'file')}, {identical:,} bytes: every byte is the same.")

        _heading("What the bucket holds now")
        _print_statistics(await client.get_bucket_stats(_BUCKET, mode="detailed"))
    return 0


async def _releases(folder: Path) -> list[Path]:
    _heading(f"Ten releases of botocore, {releases.BOTOCORE[0]} to {releases.BOTOCORE[-1]}, kept in {folder}")
    try:
        with _counter("fetching with pip") as count:
            paths = await releases.fetched(folder, count)
    except releases.IndexUnreachableError as error:
        print(f"They cannot be fetched. {error}\nTen made of this Python's own library take their place.", flush=True)
        with _counter("making") as count:
            paths = await releases.made(folder, count)
    sizes = await run_sync(lambda: [path.stat().st_size for path in paths])
    print(f"{len(paths)} zip files, {text.size(sum(sizes))}")
    return paths


@contextmanager
def _counter(doing: str) -> Iterator[Callable[[int], None]]:
    """Show how many of the ten are there: one line that changes on a terminal, one that stays elsewhere."""
    console = Console(highlight=False)
    said = False

    def count(done: int) -> None:
        nonlocal said
        status.update(f"{doing}: {done} of 10")
        if not said and not console.is_terminal and done < 10:
            print(f"{doing} ...", flush=True)
            said = True

    with console.status(doing) as status:
        yield count


async def _files(paths: Sequence[Path]) -> AsyncGenerator[LocalFile, None]:
    for path in paths:
        yield await sources.one_file(path)


async def _noting(finished: list[Finished], events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):
                finished.append(event)
            yield event


@asynccontextmanager
async def _temporary_folder(parent: Path) -> AsyncIterator[Path]:
    folder = await run_sync(lambda: tempfile.TemporaryDirectory(dir=parent, prefix="downloaded-"))
    try:
        yield Path(folder.name)
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(folder.cleanup)


def _compare(paths: Sequence[Path], folder: Path) -> int:
    """How many bytes the files of these names in `folder` have in common with them: all, or it raises."""
    for path in paths:
        if not filecmp.cmp(path, folder / path.name, shallow=False):
            raise IntegrityMismatchError(f"{path.name} came back with other bytes. Please report it.")
    return sum(path.stat().st_size for path in paths)


def _print_uploads(finished: Sequence[Finished]) -> None:
    table = Table(box=None, header_style="bold", footer_style="bold", show_footer=True, pad_edge=False)
    rows = [(event.action.path.name, event.summary) for event in finished if isinstance(event.action, Upload)]
    total = Summary(sum(row.original_size for _, row in rows), sum(row.stored_size or 0 for _, row in rows))
    columns = ["file", "size", "stored", "saved"]
    for column, footer in zip(columns, ["all of them", *_figures(total)], strict=True):
        table.add_column(column, footer, justify="left" if column == "file" else "right")
    for name, summary in sorted(rows):
        table.add_row(name, *_figures(summary))
    Console(highlight=False).print("", table, sep="\n")
    print("The first is stored whole, as the reference that all are deltas of.")


def _figures(summary: Summary) -> list[str]:
    saved = summary.saved / summary.original_size if summary.original_size else 0
    return [text.size(summary.original_size), text.size(summary.stored_size or 0), f"{saved:.1%}"]


def _print_statistics(stats: BucketStats) -> None:
    print(
        f"{text.count(stats.object_count, 'object')} ({stats.delta_objects} deltas, {stats.direct_objects} whole), "
        f"{text.size(stats.total_size)} stored in {text.size(stats.compressed_size)}: "
        f"{text.size(stats.space_saved)} saved ({stats.average_compression_ratio:.1%})"
    )


def _heading(line: str) -> None:
    Console(highlight=False).print(Text(f"\n{line}", "bold"), soft_wrap=True)
