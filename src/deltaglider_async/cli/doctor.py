"""`dg doctor`: whether everything is there that dg needs, and what to do where it is not."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.aws_options import Printing
from deltaglider_async.cli.completion import places
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_bucket
from deltaglider_async.cli.options import AsJson, Connection
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.cli.checks import Check

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@grouped
def doctor(
    context: typer.Context,
    printing: Printing,
    connection: Connection,
    url: Annotated[
        str,
        typer.Argument(
            metavar="[BUCKET]", help="bucket or s3://bucket/prefix, to look at it too.", autocompletion=places
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """\b
    Examples:
      dg doctor
      dg doctor s3://bucket/releases/
      dg doctor --json bucket | grep '"status": "fail"'

    Look at all that dg needs: xdelta3, settings, credentials (which are never shown), the endpoint and its clock, room
    on the disk. Each line is ok, warn or fail, with what to do.

    With a bucket, objects of a few bytes are written there for a moment, below the prefix, to find out which conditions
    the service keeps. The exit code is 1 if something fails.
    """
    place = parse_bucket(url) if url else None
    printing.set_color()
    given = sorted(name for name in os.environ if name.startswith("DG_"))  # before any is set for this run

    async def work() -> Code:
        from deltaglider_async.cli.checks import examine

        seen: Counter[str] = Counter()
        async for check in examine(connection, place, given):
            seen[check.status] += 1
            if printing.silent and check.status != "fail":
                continue
            if as_json:
                print(
                    json.dumps(
                        {
                            "kind": "check",
                            "name": check.name,
                            "status": check.status,
                            "detail": check.detail,
                            "advice": check.advice,
                        }
                    ),
                    flush=True,
                )
            else:
                _show(check)
        if printing.silent:
            pass
        elif as_json:
            print(json.dumps({"kind": "summary", **{status: seen[status] for status in _COLOURS}}))
        else:
            print(_sum(seen))
        return Code.FAILED if seen["fail"] else Code.DONE

    run(context, work, settings_needed=False)


def _show(check: Check) -> None:
    from rich.console import Console
    from rich.text import Text

    from deltaglider_async.cli.text import shown

    console = Console(highlight=False)
    line = Text.assemble(
        (f"{check.status:<4}", _COLOURS[check.status]), f"  {check.name:<13} {shown(check.detail, sys.stdout)}"
    )
    if check.advice:
        line.append(f"\n{'':21}{shown(check.advice, sys.stdout)}", "bold")
    console.print(line, soft_wrap=True)


def _sum(seen: Counter[str]) -> str:
    if not seen["fail"] and not seen["warn"]:
        return "everything is in order"
    return ", ".join(f"{seen[status]} {status}" for status in _COLOURS)
