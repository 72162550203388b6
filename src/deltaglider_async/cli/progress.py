"""Shows a transfer's events: live on a terminal that can, a line per finished object elsewhere.

Progress goes to standard output, errors to standard error, as with `aws s3`.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Self

from deltaglider_async.bulk.events import Event, Failed, Finished, Planned, Skipped
from deltaglider_async.cli import records, text
from deltaglider_async.cli.run import Code, explain


class Tally:
    """How much is done, for exit codes and for what an interruption says."""

    def __init__(self, go_on: str = "") -> None:
        self._go_on = go_on
        self.done = self.failed = self.skipped = 0
        self._planned: Planned | None = None

    def add(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Planned():
                self._planned = event
            case Finished():
                self.done += 1
            case Failed():
                self.failed += 1
            case Skipped():
                self.skipped += 1

    @property
    def exit_code(self) -> Code:
        """The command's."""
        return Code.FAILED if self.failed else Code.LEFT_OUT if self.skipped else Code.DONE

    def __str__(self) -> str:
        of = f" of {self._planned.objects:,}" if self._planned and self._planned.complete else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        go_on = f"\nTo go on: {self._go_on}" if self._go_on else ""
        return f"{self.done:,}{of} done{failed}; nothing is left half-written{go_on}"


async def follow(
    events: AsyncGenerator[Event, None], tally: Tally, shown: AbstractContextManager[Lines | Records]
) -> Code:
    """Show events to their end. Returns the exit code."""
    async with aclosing(events):
        with shown as display:
            async for event in events:
                if isinstance(event, Failed) and not tally.done and _hopeless(event.error):
                    raise event.error  # once, not for every object
                tally.add(event)
                display.show(event)
    return tally.exit_code


def _hopeless(error: Exception) -> bool:
    """Whether every other object will fail in the same way."""
    answer = getattr(error, "response", {})
    return bool(answer.get("Error", {}).get("Code") == "NoSuchBucket")


def display(
    *, quiet: bool = False, bars: bool = True, as_json: bool = False, debug: bool = False
) -> AbstractContextManager[Lines | Records]:
    """How events are shown: bars where they are wanted and the terminal can, else lines."""
    if as_json:
        return Records(quiet=quiet)
    if quiet or not bars or not sys.stdout.isatty():
        return nullcontext(Lines(quiet=quiet, debug=debug))
    from deltaglider_async.cli.bars import bars_on_terminal  # Rich is imported where it draws

    return bars_on_terminal(debug=debug) or nullcontext(Lines(quiet=quiet, debug=debug))


class Records:
    """One line of JSON per object, and one for all at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._counts = {"done": 0, "failed": 0, "skipped": 0, "size": 0, "stored_size": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._quiet:
            print(json.dumps({"status": "summary", **self._counts}), flush=True)

    def show(self, event: Event) -> None:
        """Print what there is to say about an event."""
        counts = self._counts
        match event:
            case Finished(action, summary):
                counts["done"] += 1
                counts["size"] += summary.original_size
                counts["stored_size"] += summary.stored_size or 0
                if not self._quiet:
                    print(records.record(action, "done", summary), flush=True)
            case Failed(action, error):
                counts["failed"] += 1
                print(records.record(action, "failed", error=explain(error) or str(error)), flush=True)
            case Skipped(action):
                counts["skipped"] += 1
                print(records.record(action, "skipped", error=action.reason), flush=True)


class Lines:
    """One line per object that is finished or failed."""

    def __init__(self, *, quiet: bool = False, debug: bool = False) -> None:
        self._quiet = quiet
        self._debug = debug

    def show(self, event: Event) -> None:
        """Print what there is to say about an event."""
        match event:
            case Finished() if not self._quiet:
                print(text.shown(self._finished(event), sys.stdout), flush=True)
            case Failed():
                print(self._failed(event), file=sys.stderr, flush=True)
            case Skipped():
                print(text.shown(text.skipped(event.action), sys.stderr), file=sys.stderr, flush=True)

    def _finished(self, event: Finished) -> str:
        return f"{text.verb(event.action)}: {text.describe(event.action)}{text.outcome(event.action, event.summary)}"

    def _failed(self, event: Failed) -> str:
        reason = explain(event.error) or f"{type(event.error).__name__}: {event.error}"
        line = text.shown(f"{text.verb(event.action)} failed: {text.describe(event.action)}: {reason}", sys.stderr)
        return line if not self._debug else line + "\n" + "".join(traceback.format_exception(event.error)).rstrip()
