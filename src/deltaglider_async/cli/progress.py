"""Shows a transfer's events: live on a terminal that can, a line per finished object elsewhere.

Progress goes to standard output, errors to standard error, as with `aws s3`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from deltaglider_async.bulk.events import Event, Failed, Finished, Planned, Skipped
from deltaglider_async.cli import logs, records, text
from deltaglider_async.cli.board import ASCII, NARROWEST, UNICODE, Board
from deltaglider_async.cli.run import Code, explain

_FRAME = 0.1  # seconds between pictures
_STILL = 10  # frames after which a picture is drawn anew though nothing happened: times and rates go on


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
    console = Console(highlight=False)
    if console.is_dumb_terminal or console.width < NARROWEST:
        return nullcontext(Lines(quiet=quiet, debug=debug))
    return Bars(console, debug=debug)


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


@dataclass(slots=True)
class _Picture:
    """Lines that a live display draws as they are in that moment."""

    lines: list[Text] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines


class Bars(Lines):
    """A bar per object under way and one for the total, below the lines of what is over.

    The picture changes at most ten times a second, however much happens: lines wait for the next one. No line is as
    wide as the terminal: one that fills the last cell wraps on some.
    """

    def __init__(self, console: Console, *, debug: bool = False) -> None:
        super().__init__(debug=debug)
        self._console = console
        self._glyphs = UNICODE if console.encoding.lower().startswith("utf") else ASCII
        self._board = Board(self._glyphs)
        self._picture = _Picture()
        self._live = Live(
            self._picture,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._above: list[Text] = []
        self._same_terminal = sys.stderr.isatty()
        self._changed = self._short = False
        self._frames_since_drawn = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._live.start()
        if self._same_terminal:
            logs.show_on(self._console)
        self._tick()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        self._draw()
        self._live.stop()
        if self._same_terminal:
            logs.show_on(Console(stderr=True, highlight=False))
        if error is None and (summary := self._board.summary(time.monotonic())):
            self._console.print(Text(summary, "bold"), soft_wrap=True)

    def show(self, event: Event) -> None:
        """Remember what the next picture has to show."""
        self._changed = True
        self._board.show(event, time.monotonic())
        match event:
            case Finished():
                self._above.append(Text(text.printable(self._finished(event))))
            case Failed() if self._same_terminal:
                self._above.append(Text(self._failed(event), "red"))
            case Skipped() if self._same_terminal:
                self._above.append(Text(text.printable(text.skipped(event.action)), "yellow"))
            case Failed() | Skipped():
                super().show(event)

    def _finished(self, event: Finished) -> str:
        """In one line of the terminal: where it is too long, without the destination and the name's beginning."""
        line, width = super()._finished(event), self._console.width - 1
        if not self._short and cell_len(line) <= width:
            return line
        self._short = True  # from now on all, so that the lines look alike
        before, after = f"{text.verb(event.action)}: ", text.outcome(event.action, event.summary)
        room = max(1, width - cell_len(before + after))
        return before + text.shorten(text.name(event.action), room, self._glyphs.ellipsis) + after

    def _tick(self) -> None:
        self._frames_since_drawn += 1
        if self._changed or self._frames_since_drawn >= _STILL:
            self._draw()
        self._timer = asyncio.get_running_loop().call_later(_FRAME, self._tick)

    def _draw(self) -> None:
        self._changed = False
        self._frames_since_drawn = 0
        self._picture.lines = self._board.lines(self._console.width - 1, self._console.height, time.monotonic())
        if self._above:  # one write for both, and one picture: nothing to be seen in between
            self._console.print(*self._above, sep="\n", soft_wrap=True)
            self._above.clear()
        else:
            self._live.refresh()
