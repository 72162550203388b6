"""`dg migrate`: a bucket or prefix to another one, or at its place, as deltas."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Pace, Selecting, Showing
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_s3
from deltaglider_async.cli.options import Connection, Exclusive, MaxRatio, NoDelta, ordered_filters
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.bulk.events import Failed
    from deltaglider_async.bulk.journal import Journal, Totals
    from deltaglider_async.bulk.migrate import Migration
    from deltaglider_async.cli.progress import Tally

#: Failures that are named once more at the end.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class From:
    """Where SOURCE is, if it is not where DEST is."""

    source_endpoint_url: Annotated[
        str | None, typer.Option("--source-endpoint-url", metavar="URL", help="The endpoint of SOURCE, if another one.")
    ] = None
    source_region: Annotated[
        str | None, typer.Option("--source-region", metavar="NAME", help="The region of SOURCE, if another one.")
    ] = None
    source_profile: Annotated[
        str | None, typer.Option("--source-profile", metavar="NAME", help="The profile to read SOURCE with.")
    ] = None
    source_no_sign_request: Annotated[
        bool, typer.Option("--source-no-sign-request", help="Read SOURCE as nobody, without credentials.")
    ] = False

    def connection(self, destination: Connection) -> Connection | None:
        """What reads the source; None where it is read as the destination is written."""
        source = replace(
            destination,
            endpoint_url=self.source_endpoint_url or destination.endpoint_url,
            region=self.source_region or destination.region,
            profile=self.source_profile or destination.profile,
            no_sign_request=self.source_no_sign_request or destination.no_sign_request,
        )
        return None if source == destination else source


@dataclass(frozen=True, slots=True)
class How:
    """How it is migrated."""

    no_delta: NoDelta = False
    max_ratio: MaxRatio = None
    no_preserve_prefix: Annotated[
        bool, typer.Option("--no-preserve-prefix", help="Do not keep the last part of SOURCE's prefix.")
    ] = False
    verify: Annotated[bool, typer.Option("--verify", help="Read each copy back, and compare its SHA-256.")] = False
    exclusive: Exclusive = False
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an interrupted run, and list everything anew.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as --dryrun.")] = False


@grouped
def migrate(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="s3://bucket/prefix/", autocompletion=s3_urls)],
    destination: Annotated[str, typer.Argument(metavar="DEST", help="s3://bucket/prefix/", autocompletion=s3_urls)],
    *,
    how: How,
    origin: From,
    selecting: Selecting,
    showing: Showing,
    pace: Pace,
    connection: Connection,
) -> None:
    """\b
    Examples:
      dg migrate s3://old/releases/ s3://new/
      dg migrate s3://old s3://new --yes --exclude "*.log"
      dg migrate s3://bucket/releases/ s3://bucket/releases/ --exclusive

    Copy what DEST does not have yet, as deltas where that pays, and check each object.

    The last part of SOURCE's prefix is kept: s3://old/a/b/ to s3://new/x/ gives s3://new/x/b/. If it is interrupted,
    or something fails, the same command again does the rest. Where both are the same place, with --exclusive, the
    objects in it become deltas.
    """
    filters, limits = ordered_filters(context), pace.limits
    start, to = parse_s3(source), parse_s3(destination)
    showing = replace(showing, dryrun=showing.dryrun or how.dry_run)
    if showing.as_json and not (how.yes or showing.silent or showing.dryrun):
        raise typer.BadParameter("--json leaves no room for a question. Add --yes.")

    from deltaglider_async.bulk.actions import Options
    from deltaglider_async.bulk.migrate import Migration, Prefix
    from deltaglider_async.cli.progress import Tally

    elsewhere = origin.connection(connection)
    ends = _ends(start, to, how, one_service=elsewhere is None)
    options = Options(False if how.no_delta else None, how.max_ratio, access=selecting.access)
    tally = Tally(go_on="the same command again does the rest")

    async def work() -> Code:
        async with AsyncExitStack() as stack:
            max_ratio = 0.0 if how.no_delta else how.max_ratio
            client = await stack.enter_async_context(connection.client(limits.objects, max_ratio=max_ratio))
            reader = client
            if elsewhere is not None:
                reader = await stack.enter_async_context(elsewhere.client(limits.objects))
            first, second = (Prefix(place.bucket, place.folder) for place in ends)
            migration = Migration(client, reader, first, second, filters, options, how.verify)
            run = _Run(migration, tally, how, showing, connection, debug=context.obj.on)
            return await run.run(limits)

    run(context, work, so_far=lambda: str(tally), refused=Code.FAILED, page_size=selecting.page_size)


def _ends(source: InS3, destination: InS3, how: How, *, one_service: bool) -> tuple[InS3, InS3]:
    """From where to where, with the source's last part kept. Raises a usage error for what cannot be meant."""
    from deltaglider_async.bulk.migrate import kept_part

    start, to = InS3(source.bucket, source.folder), InS3(destination.bucket, destination.folder)
    if start != to and not how.no_preserve_prefix:
        to = InS3(to.bucket, kept_part(start.key, to.key))
    if not one_service or start.bucket != to.bucket:
        return start, to
    if start == to:
        if not how.exclusive:
            raise typer.BadParameter(
                f"{start} would be migrated at its place: whole files are deleted when their deltas are proven. Say "
                "--exclusive if nobody else writes there until this is over."
            )
        if how.no_delta or how.max_ratio == 0:
            raise typer.BadParameter("there is nothing to do at the same place without deltas.")
    elif to.key.startswith(start.key):
        raise typer.BadParameter(f"{to} lies inside of {start}.")
    return start, to


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the command."""

    migration: Migration
    tally: Tally
    how: How
    showing: Showing
    connection: Connection
    debug: bool
    failed: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=lambda: [0, 0])
    """Bytes of the originals, and bytes stored for them."""

    async def run(self, limits: Any) -> Code:
        """All of it. Returns the exit code."""
        from deltaglider_async.bulk.journal import Journal

        self.showing.set_color()
        cost = await self._place()
        if self.showing.dryrun:
            return await self._dry_run(cost)
        async with Journal(self._identity()) as journal:
            totals = await self._plan(journal)
            self._say_totals(totals, cost)
            if not totals.objects and not totals.refused:
                await journal.forget()
                return Code.DONE
            if not self.how.yes and not self.showing.silent and not await _agreed():
                if not await self._begun(journal):
                    await journal.forget()
                self._say("Nothing was done.")
                return Code.FAILED
            code = await self._carry_out(journal, limits)
            if not self.tally.failed:
                await journal.forget()
        self._summary()
        return code

    def _identity(self) -> dict[str, Any]:
        """Everything that says what this migration is."""
        migration, options = self.migration, self.migration.options
        return {
            "source": [migration.source.meta.endpoint_url, migration.start.bucket, migration.start.key],
            "destination": [migration.client.meta.endpoint_url, migration.to.bucket, migration.to.key],
            "filters": [[included, pattern.pattern] for included, pattern in migration.filters.rules],
            "use_delta": options.use_delta,
            "max_ratio": options.max_ratio,
            "in_place": migration.in_place,
        }

    async def _place(self) -> Any:
        """Say where this is, and where S3 is. Returns what is known of it."""
        from deltaglider_async.cli.ec2 import check
        from deltaglider_async.settings import Settings
        from deltaglider_async.store.conditions import is_aws

        meta = self.migration.client.meta
        found = await check(
            str(meta.region_name),
            asked=self.connection.region is not None,
            custom_endpoint=not is_aws(str(meta.endpoint_url)),
            disabled=Settings().disable_ec2_detection,
        )
        color = {"same region": "green", "other region": "yellow", "other region as asked": "red"}
        for number, line in enumerate(found.lines):
            self._say(line, color.get(found.outcome, "") if number == len(found.lines) - 1 else "", always=True)
        return found

    async def _plan(self, journal: Journal) -> Totals:
        from deltaglider_async.bulk.journal import Totals

        if journal.has_plan and not self.how.fresh:
            totals = Totals(already=await journal.count_done())
            async for _, row in journal.pending():
                totals.add(row)
            if totals.objects or totals.refused:
                self._say(f"Going on with what was begun before ({journal.folder}). To list everything anew: --fresh")
                return totals
        totals = Totals()
        await journal.forget()
        await journal.write(self.migration.survey(totals), totals)
        return totals

    async def _begun(self, journal: Journal) -> bool:
        return await journal.count_done() > 0

    def _say_totals(self, totals: Totals, place: Any) -> None:
        from deltaglider_async.cli.text import size

        if totals.already:
            self._say(f"Already migrated: {totals.already:,} files (will be skipped)")
        if not totals.objects and not totals.refused:
            self._say("All files are already migrated. Nothing to do.")
            return
        migration = self.migration
        unknown = (
            f", and {totals.unknown:,} deltas whose files' sizes a listing does not tell" if totals.unknown else ""
        )
        where = f"s3://{migration.start.bucket}/{migration.start.key}"
        to = "at their place" if migration.in_place else f"to s3://{migration.to.bucket}/{migration.to.key}"
        self._say(f"Files to migrate: {totals.objects:,} ({size(totals.size)}{unknown}), from {where} {to}")
        if cost := place.cost(totals.size + totals.stored_size):
            self._say(f"Expected cost of transfer: ${cost:.2f}")

    async def _dry_run(self, place: Any) -> Code:
        from deltaglider_async.bulk.journal import Totals
        from deltaglider_async.cli.carry_out import show_plan

        totals = Totals()

        async def plan() -> Any:
            async for row in self.migration.survey(totals):
                totals.add(row)
                yield self.migration.action(row)

        code = await show_plan(plan(), as_json=self.showing.as_json, silent=self.showing.silent)
        self._say_totals(totals, place)
        return code

    async def _carry_out(self, journal: Journal, limits: Any) -> Code:
        from deltaglider_async.bulk.transfer import transfer
        from deltaglider_async.cli.progress import display, follow

        showing, migration = self.showing, self.migration
        shown = display(quiet=showing.silent, bars=not showing.no_progress, as_json=showing.as_json, debug=self.debug)
        perform = partial(migration.perform, journal)
        events = transfer(migration.client, migration.actions(journal), limits=limits, perform=perform)
        return await follow(self._counted(events), self.tally, shown)

    async def _counted(self, events: Any) -> Any:
        from contextlib import aclosing

        from deltaglider_async.bulk.events import Failed, Finished

        async with aclosing(events):
            async for event in events:
                match event:
                    case Finished(_, summary):
                        self.sizes[0] += summary.original_size
                        self.sizes[1] += summary.stored_size or 0
                    case Failed() if len(self.failed) < _NAMED:
                        self.failed.append(_name(event))
                yield event

    def _summary(self) -> None:
        from deltaglider_async.cli.text import count, size

        whole, stored = self.sizes
        saved = f" ({100 * (whole - stored) // whole}% saved)" if whole > stored else ""
        self._say(f"Migrated {count(self.tally.done, 'file')}: {size(whole)}, stored in {size(stored)}{saved}")
        if self.tally.failed:
            more = self.tally.failed - len(self.failed)
            names = "".join(f"\n  {name}" for name in self.failed) + (f"\n  and {more:,} more" if more else "")
            print(
                f"dg: {count(self.tally.failed, 'file')} failed; the same command again tries them again:{names}",
                file=sys.stderr,
            )

    def _say(self, line: str, color: str = "", *, always: bool = False) -> None:
        """For people: on standard error where standard output is for a program."""
        if self.showing.silent and not always:
            return
        from rich.console import Console
        from rich.text import Text

        Console(stderr=self.showing.as_json, highlight=False).print(Text(line, color), soft_wrap=True)


def _name(event: Failed) -> str:
    from deltaglider_async.cli.text import name

    return name(event.action)


async def _agreed() -> bool:
    """Ask, without stopping the loop."""
    from deltaglider_async.streams.threads import in_thread

    print("Proceed with migration? [y/N] ", end="", flush=True)
    answer = await in_thread(sys.stdin.readline)
    return answer.strip().lower() in ("y", "yes")
