"""Log records on the terminal: above the progress bars while there are any."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from deltaglider_async.settings import Settings, configure_logging

if TYPE_CHECKING:
    from rich.console import Console
    from rich.logging import RichHandler


class _OnTerminal(logging.Handler):
    """Shows records by Rich, which is imported for the first of them: most commands log none."""

    console: Console | None = None
    """Where; None: a console of its own on stderr."""
    _rich: RichHandler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        from rich.console import Console
        from rich.logging import RichHandler

        if self._rich is None:
            self._rich = RichHandler(console=Console(stderr=True, highlight=False), show_path=False, markup=False)
            self._rich.setFormatter(self.formatter)
        self._rich.console = self.console or self._rich.console
        self._rich.emit(record)


_handler: _OnTerminal | None = None


def configure(*, debug: bool) -> None:
    """Show log records on stderr, from `DG_LOG_LEVEL` up; its default for the command line is `WARNING`.

    Raises `ConfigurationError` if a `DG_*` variable is not accepted.
    """
    global _handler
    if debug or not os.environ.get("DG_LOG_LEVEL"):
        os.environ["DG_LOG_LEVEL"] = "DEBUG" if debug else "WARNING"  # for the clients that commands create, too
    configure_logging(Settings().log_level)
    _handler = _OnTerminal()
    logging.basicConfig(handlers=[_handler], level=logging.WARNING, format="%(message)s", force=True)


def show_on(console: Console) -> None:
    """From now on, show log records there."""
    if _handler:
        _handler.console = console
