"""What all parts of the client share: the engine, botocore's client, and what a call may be given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.store.arguments import check


def ignore(phase: str, position: int) -> None:
    """A `Progress` that nobody looks at."""


class ClientBase:
    """The engine of a client, for as long as the client is open."""

    def __init__(self, engine: Engine, close: Callable[[], Awaitable[None]]) -> None:
        self._rooms = engine
        self._close = close
        self._closed = False

    async def aclose(self) -> None:
        """Close connections and cache. `async with create_client(...)` does it."""
        self._closed = True
        await self._close()

    async def close(self) -> None:
        """aioboto3's name for `aclose`."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        """The client itself, which is closed at the end of the block, as aioboto3's is."""
        _ = self._engine
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def _engine(self) -> Engine:
        if self._closed:  # botocore would open connections again, which nobody closes
            raise InvalidRequestError(
                "the client is closed. Use it inside its `async with` block, or before `aclose()`."
            )
        return self._rooms

    @property
    def _s3(self) -> Any:
        return self._engine.store.s3

    def _access(self, arguments: Mapping[str, Any]) -> Response:
        access = access_only(arguments)
        for name in arguments.keys() - access.keys():
            raise InvalidRequestError(f"there is no argument {name!r}.")
        return access

    def _check_arguments(self, operation: str, arguments: Mapping[str, Any]) -> None:
        """Raise what boto3 raises for arguments that cannot be: one that is left out would be lost in silence."""
        check(self._engine.store.s3.meta.service_model, operation, arguments)
