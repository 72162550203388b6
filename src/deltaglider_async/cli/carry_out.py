"""Carries out a command's plan: shown beforehand, or done and shown while it is done."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from deltaglider_async.cli.aws_options import Showing
from deltaglider_async.cli.run import Code

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Action
    from deltaglider_async.bulk.schedule import Limits
    from deltaglider_async.cli.progress import Tally
    from deltaglider_async.client import DeltaGliderClient


async def carry_out(
    client: DeltaGliderClient,
    plan: AsyncGenerator[Action, None],
    tally: Tally,
    *,
    showing: Showing,
    limits: Limits,
    debug: bool,
    deletes: bool = False,
    source: DeltaGliderClient | None = None,
) -> Code:
    """Do it, or print what would be done. Returns the exit code.

    `deletes`: of many objects, and of nothing else. `source` reads what is copied, from another region of the service.
    """
    from deltaglider_async.bulk.perform import Performer
    from deltaglider_async.bulk.removal import remove
    from deltaglider_async.bulk.transfer import transfer
    from deltaglider_async.cli.progress import display, follow

    if showing.dryrun:
        return await show_plan(plan, as_json=showing.as_json, silent=showing.silent)
    showing.set_color()
    shown = display(quiet=showing.silent, bars=not showing.no_progress, as_json=showing.as_json, debug=debug)
    perform = Performer(client, source or client, one_service=True)
    events = remove(client, plan) if deletes else transfer(client, plan, limits=limits, perform=perform)
    return await follow(events, tally, shown)


async def show_plan(plan: AsyncGenerator[Action, None], *, as_json: bool, silent: bool) -> Code:
    """Print what a plan would do, as `aws s3 --dryrun` does."""
    from deltaglider_async.bulk.actions import Refusal
    from deltaglider_async.cli import text
    from deltaglider_async.cli.records import record

    code = Code.DONE
    async with aclosing(plan):
        async for action in plan:
            if isinstance(action, Refusal):
                code = Code.LEFT_OUT
                if as_json:
                    print(record(action, "skipped", error=action.reason))
                else:
                    print(text.shown(f"(dryrun) {text.skipped(action)}", sys.stderr), file=sys.stderr)
            elif as_json:
                print(record(action, "planned"))
            elif not silent:
                print(text.shown(f"(dryrun) {text.verb(action)}: {text.describe(action)}", sys.stdout))
    return code
