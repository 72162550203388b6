"""The live display: a bar per object under way and one for the total, drawn with Rich."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from deltaglider_async.bulk.events import Event, Failed, Finished, Skipped
from deltaglider_async.cli import logs, text
from deltaglider_async.cli.board import ASCII, NARROWEST, UNICODE, Board
from deltaglider_async.cli.progress import Lines

_FRAME = 0.1  # seconds between pictures
_STILL = 10  # frames after which a picture is drawn anew though nothing happened: times and rates go on


def bars_on_terminal(*, debug: bool) -> Bars | None:
    """Bars on standard output; None where it cannot show them."""
    console = Console(highlight=False)
    if console.is_dumb_terminal or console.width < NARROWEST:
        return None
    return Bars(console, debug=debug)


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
