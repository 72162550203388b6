"""An operation of S3 for a fraction of the processor time that botocore takes.

Statistics make thousands of HEADs; a small put is one and a PutObject. botocore makes each request anew: it checks
arguments, looks for the endpoint, calls thirty handlers, derives a signing key, and looks for each of forty headers
in the answer. But two HEADs of one bucket differ in key, date and signature only, two puts of one kind in some headers
more. So the first one is botocore's, and what it sent becomes a template (`templates.py`). The next ones are made of
that, sent by the client's own session of aiohttp, and their answers read by a table (`answers.py`).

What is not ordinary stays botocore's:

* proxies, and whatever is signed in another way, or not at all;
* all of it where the client has event handlers that are not botocore's own, or logs what it does (DEBUG);
* an answer other than 200, and 404 to a HEAD, one that cannot be read, and a connection that breaks. To botocore that
  is what came of its first attempt: it goes on by its rules for retries and errors, and makes the next template. What
  refuses the request itself (3xx, 400, 403) changed nothing, and botocore makes that attempt anew.
"""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.client import AioBaseClient
from aiobotocore.httpsession import AIOHTTPSession
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from yarl import URL

from deltaglider_async.store import writes
from deltaglider_async.store.answers import Reader, Response, reader_of
from deltaglider_async.store.errors import code_of
from deltaglider_async.store.templates import Part, Template

_MOST_TEMPLATES = 256
#: What a call goes through; and where the handlers are from that do the same for each call of a kind.
_EVENTS = (
    "provide-client-params", "before-parameter-build", "before-endpoint-resolution", "before-call", "request-created",
    "choose-signer", "before-sign", "before-send", "response-received", "before-parse", "needs-retry", "after-call",
)  # fmt: skip
_BOTOCORE = ("client", "handlers", "retries.standard", "retryhandler", "signers", "useragent", "utils")
_KNOWN = {f"botocore.{name}" for name in _BOTOCORE} | {__name__, writes.__name__}
#: In AWS Lambda requests tell of the invocation that they are made for. A template may be of another, or of none.
_FUNCTION = "AWS_LAMBDA_FUNCTION_NAME"
#: What `aiohttp` raises where a request cannot be sent, or its answer does not come.
_BROKEN = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, RuntimeError, ValueError)
_REFUSED = frozenset({*range(300, 400), 400, 403})
_botocore_log = logging.getLogger("botocore")


class _Call:
    """A call of botocore's under way. `learn` makes a template of a request, and gives it if there was none."""

    def __init__(self, http: AIOHTTPSession, learn: Callable[[Any], Awaitable[_Way | None]]) -> None:
        self.http = http
        self.learn = learn
        self.requests = 0
        self.first: AioAWSResponse | Exception | None = None
        """What came of the first request already, if it has been sent."""
        self.made: _Way | None = None


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)


class Direct:
    """One operation through an S3 client of aiobotocore, or through something that has its method."""

    def __init__(self, s3: Any, operation: str) -> None:
        self._s3 = s3
        self._operation = operation
        self._emitter = getattr(s3.meta.events, "_emitter", None) if isinstance(s3, AioBaseClient) else None
        self._looked_up: tuple[object, object] = (None, None)
        self._ordinary = False
        self._reader = Reader({}, metadata=False)
        self._headers: dict[str, str] = {}
        self._before: list[Any] = []
        self._after: list[Any] = []
        self._templates: _Ways = {}

    async def by_botocore(self, arguments: Mapping[str, Any]) -> Response:
        """What the client's own method answers or raises."""
        answer: Response = await getattr(self._s3, xform_name(self._operation))(**arguments)
        return answer

    async def call(self, arguments: Mapping[str, Any], constant: tuple[tuple[str, Any], ...], part: Part) -> Response:
        """The same. Where there is no such object a HEAD may also answer what such an error has as its `response`, with
        `Error`.

        `arguments` are all of them. Those that are in `constant`, and the names of the part's headers, make the kind.
        """
        if not self._is_ordinary():
            return await self.by_botocore(arguments)
        bucket, key = arguments["Bucket"], arguments["Key"]
        kind = (bucket, constant, *part.headers)
        call = _Call(self._s3._endpoint.http_session, partial(self._learn, self._templates, kind, key, part))
        if (way := self._templates.get(kind)) is not None:
            found = await self._ask(way, arguments, part)
            if isinstance(found, dict):
                return found
            self._forget(kind, way)
            call.first = found
        usual = False
        token = _CALL.set(call)
        try:
            answer = await self.by_botocore(arguments)
            usual = call.requests == 1
            return answer
        except ClientError as error:
            usual = call.requests == 1 and code_of(error) == "404"
            raise
        finally:
            _CALL.reset(token)
            if not usual:
                self._forget(kind, call.made)

    def _forget(self, kind: tuple[Any, ...], way: _Way | None) -> None:
        if way is not None and self._templates.get(kind) is way:
            del self._templates[kind]

    def error(self, answer: Response) -> ClientError:
        """What the client raises for an answer with `Error`."""
        error: ClientError = self._s3.exceptions.from_code(answer["Error"]["Code"])(answer, self._operation)
        return error

    def _is_ordinary(self) -> bool:
        if self._emitter is None:
            return False
        handlers, call = self._looked_up
        if getattr(self._emitter, "_lookup_cache", None) is not handlers or _api_call(self._s3) is not call:
            # botocore's own handlers, too, may change what is sent. A new dictionary: what is learned now is of before.
            self._templates = {}
            self._ordinary = self._look()
            # A new dictionary each time that a handler is registered or unregistered.
            self._looked_up = getattr(self._emitter, "_lookup_cache", None), _api_call(self._s3)
        return self._ordinary and not _botocore_log.isEnabledFor(logging.DEBUG)

    def _look(self) -> bool:
        """Whether all that a call goes through is botocore's own, as it is known here."""
        if _FUNCTION in os.environ:
            return False
        events, service = self._s3.meta.events, self._s3.meta.service_model
        event = f"before-send.s3.{self._operation}"
        events.register(event, _before_send, unique_id=f"{__name__}.{event}")
        try:
            self._reader = reader_of(service, self._operation)
            members = service.operation_model(self._operation).input_shape.members
            self._headers = {
                name: member.serialization["name"].lower()
                for name, member in members.items()
                if member.serialization.get("location") == "header"
            }
            handlers = {event: _handlers(self._emitter, f"{event}.s3.{self._operation}") for event in _EVENTS}
            http = self._s3._endpoint.http_session
        except (AttributeError, KeyError):
            return False  # another version of botocore
        # Those that note what is written, and what may be tried again.
        self._before = [one for one in handlers["before-parameter-build"] if _origin(one) == writes.__name__]
        self._after = handlers["after-call"]
        if any(inspect.iscoroutinefunction(one) for one in self._after):
            return False
        # Tracers and tests put something of theirs in the place of the method.
        call = _api_call(self._s3)
        where = str(call.__globals__["__name__"]) if type(call) is FunctionType else ""
        unwrapped = where.removeprefix("aio") in ("botocore.client", "botocore.context")  # that of its decorator
        known = all(_origin(one) in _KNOWN for each in handlers.values() for one in each)
        return unwrapped and type(http) is AIOHTTPSession and known

    async def _ask(
        self, way: _Way, arguments: Mapping[str, Any], part: Part
    ) -> Response | AioAWSResponse | Exception | None:
        """The answer; or what botocore is to take for what came of its first attempt; None if nothing did."""
        if self._s3._request_signer._credentials is not way.credentials:
            return None  # somebody has given the client others
        credentials = await way.credentials.get_frozen_credentials()
        try:
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            url, headers = way.template.request(arguments["Key"], part, credentials, now)
        except ValueError:
            return None
        if way.session.closed:
            return None
        model, context = self._s3.meta.service_model.operation_model(self._operation), dict[str, Any]()
        for handler in self._before:
            handler(params=arguments, model=model, context=context)
        try:
            response = await way.session.request(
                way.template.method, URL(url, encoded=True), headers=headers, data=part.body or None
            )
            body = await response.read()
            # Of several with one name the last, as aiobotocore has it.
            told = {name.decode().lower(): value.decode() for name, value in response.raw_headers}
        except _BROKEN as error:
            return error
        answer = None
        if not body and (response.status == 200 or way.template.method == "HEAD"):
            with suppress(ValueError, RuntimeError):  # botocore says what it cannot read
                answer = self._reader.read(response.status, told)
        if answer is None and response.status in _REFUSED:
            return None
        if answer is None:
            whole = AioAWSResponse(str(response.url), response.status, told, response)  # type: ignore[arg-type]
            vars(whole)["_content"] = body
            return whole
        for handler in self._after:
            handler(http_response=_Answered(response.status), parsed=answer, model=model, context=context)
        return answer

    async def _learn(self, templates: _Ways, kind: tuple[Any, ...], key: str, part: Part, request: Any) -> _Way | None:
        """Make a template of what botocore is about to send: it serves those who come before the answer, too."""
        if kind in templates:
            return None
        if len(templates) >= _MOST_TEMPLATES:
            templates.clear()
        known = frozenset(self._headers[name] for name, _ in kind[1] if name in self._headers)
        try:
            http, credentials = self._s3._endpoint.http_session, self._s3._request_signer._credentials
            if credentials is None or http._proxy_config.proxy_url_for(request.url) is not None:
                return None
            template = Template(request, key, part, known)
            template.compare(request, key, part, await credentials.get_frozen_credentials())
            way = templates[kind] = _Way(template, await http._get_session(None), credentials)
        except (AttributeError, LookupError, ValueError, BotoCoreError, OSError):
            # It is signed in another way, certificates cannot be read, or this is another version of botocore.
            return None
        return way


class _Answered(NamedTuple):
    """What handlers look at."""

    status_code: int


class _Way:
    """A template, the session that sends what is made of it, and botocore's credentials, which may renew themselves."""

    def __init__(self, template: Template, session: aiohttp.ClientSession, credentials: Any) -> None:
        self.template = template
        self.session = session
        self.credentials = credentials


_Ways = dict[tuple[Any, ...], _Way]


class _Broken(AIOHTTPSession):
    """A session with which it has gone wrong already: it raises what aiobotocore makes of that."""

    def __init__(self, http: AIOHTTPSession, error: Exception) -> None:
        vars(self).update(vars(http))
        self._error = error

    async def _get_session(self, proxy_url: Any) -> Any:
        raise self._error


async def _before_send(request: Any, **_: Any) -> Any:
    """What came of the request already; None where it is to be sent."""
    if (call := _CALL.get()) is None:
        return None
    call.requests += 1
    first, call.first = call.first, None
    if isinstance(first, Exception):
        return await _Broken(call.http, first).send(request)
    if first is None and call.requests == 1:
        call.made = await call.learn(request)
    return first


def _api_call(s3: Any) -> Any:
    """What is behind each of a client's methods, as it lies there: whatever wraps it, too."""
    for place in (s3, *type(s3).__mro__):
        if (found := place.__dict__.get("_make_api_call")) is not None:
            return found
    return None


def _handlers(emitter: Any, event: str) -> list[Any]:
    found: list[Any] = emitter._handlers.prefix_search(event)
    return found


def _origin(handler: Any) -> str:
    """The module of an event handler, of botocore for one of aiobotocore."""
    return str(getattr(handler, "__module__", "")).removeprefix("aio")
