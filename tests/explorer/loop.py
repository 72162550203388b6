"""An event loop in which everything but S3's calls happens at once, in the same order each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import concurrent.futures


class InlineLoop(asyncio.SelectorEventLoop):
    """Work for a thread is done where it is asked for, so that nothing depends on threads' moods."""

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    @property
    def idle(self) -> bool:
        """Whether nothing is about to happen."""
        return not self._ready  # type: ignore[attr-defined]
