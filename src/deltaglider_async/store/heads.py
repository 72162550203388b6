"""HeadObject for a fraction of the processor time that botocore takes: statistics make thousands, a small put one each.

botocore makes each request anew: it checks arguments, looks for the endpoint, calls thirty handlers, derives a signing
key, and then looks for each of forty headers in the answer. But two HEADs of one bucket differ in key, date and
signature only. So the first one is botocore's, and what it sent becomes a template. From then on the key is put into
it, it is signed (Signature Version 4), sent by the client's own session of aiohttp, and the answer is read by a table
that is made of botocore's description of HeadObject.

Nothing of a template is guessed: it is used only if, for the key and the date of botocore's request, it gives
botocore's request, signature included. What is not ordinary stays botocore's:

* arguments other than `_CONSTANT`, proxies, and whatever is signed in another way, or not at all;
* all of it where the client has event handlers that are not botocore's own, or logs what it does (DEBUG);
* an answer other than 200 and 404, one that cannot be read, and a connection that breaks. botocore then asks again, by
  its rules for retries and redirects, after a while if the service has too much to do, and makes the next template.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from hashlib import sha256
from hmac import digest
from http.client import responses
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.client import AioBaseClient
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import percent_encode
from yarl import URL

from deltaglider_async.store.moments import moment

Response = dict[str, Any]
Members = dict[str, tuple[str, Callable[[str], Any]]]
"""By header, in small letters: the member of the answer, and what makes its value of the text."""

#: Arguments that are the same for many keys. Versions are not, and a customer's encryption key is not to be kept.
_CONSTANT = frozenset({"ChecksumMode", "ExpectedBucketOwner", "RequestPayer"})
_MOST_TEMPLATES = 256
#: What a call goes through; and where the handlers are from that do the same for each key.
_EVENTS = (
    "provide-client-params", "before-parameter-build", "before-endpoint-resolution", "before-call", "request-created",
    "choose-signer", "before-sign", "before-send", "response-received", "before-parse", "needs-retry", "after-call",
)  # fmt: skip
_BOTOCORE = ("client", "handlers", "retries.standard", "retryhandler", "signers", "useragent", "utils")
_KNOWN = {f"botocore.{name}" for name in _BOTOCORE} | {__name__, "deltaglider_async.store.writes"}
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/(?P<region>[^/,]+)/(?P<service>[^/,]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[^,]+), Signature=[0-9a-f]{64}"
)
_DATE, _TOKEN, _INVOCATION = "X-Amz-Date", "X-Amz-Security-Token", "amz-sdk-invocation-id"
_USER = "x-amz-meta-"
_BUSY = (429, 500, 502, 503, 504)
#: A header that is of one invocation of AWS Lambda.
_TRACE = "x-amzn-trace-id"
_botocore_log = logging.getLogger("botocore")

_SENT: ContextVar[list[Any] | None] = ContextVar("sent", default=None)
"""Where a call's requests are noted, if a template is to be made of them."""


class Heads:
    """HeadObject through an S3 client of aiobotocore, or something that has its `head_object`."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self._emitter = getattr(s3.meta.events, "_emitter", None) if isinstance(s3, AioBaseClient) else None
        self._looked_up: object = None
        self._ordinary = False
        self._members: Members = {}
        self._templates: dict[tuple[Any, ...], _Template] = {}

    async def head(self, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
        """What the client's `head_object` answers or raises. Where there is no such object it may also answer what such
        an error has as its `response`, with `Error`.
        """
        if not key or not arguments.keys() <= _CONSTANT or not self._is_ordinary():
            answer: Response = await self._s3.head_object(Bucket=bucket, Key=key, **arguments)
            return answer
        place = (bucket, *sorted(arguments.items()))
        if (template := self._templates.get(place)) is not None:
            if (found := await self._ask(template, key)) is not None:
                return found
            self._templates.pop(place, None)
        sent: list[Any] = []
        token = _SENT.set(sent)
        try:
            answer = await self._s3.head_object(Bucket=bucket, Key=key, **arguments)
        except ClientError as error:
            await self._learn(place, key, sent, error.response)
            raise
        finally:
            _SENT.reset(token)
        await self._learn(place, key, sent, answer)
        return answer

    def error(self, answer: Response) -> ClientError:
        """What the client raises for an answer with `Error`."""
        error: ClientError = self._s3.exceptions.from_code(answer["Error"]["Code"])(answer, "HeadObject")
        return error

    def _is_ordinary(self) -> bool:
        # A new dictionary each time that a handler is registered or unregistered.
        looked_up = getattr(self._emitter, "_lookup_cache", None)
        if looked_up is not self._looked_up:
            self._ordinary = self._look()
            self._looked_up = getattr(self._emitter, "_lookup_cache", None)
        return self._ordinary and not _botocore_log.isEnabledFor(logging.DEBUG)

    def _look(self) -> bool:
        """Whether all that a HEAD goes through is botocore's own, as it is known here."""
        events = self._s3.meta.events
        events.register("before-send.s3.HeadObject", _note, unique_id=__name__)
        try:
            self._members = members_of(self._s3.meta.service_model)
            handlers = [one for event in _EVENTS for one in _handlers(self._emitter, f"{event}.s3.HeadObject")]
            http = self._s3._endpoint.http_session
        except (AttributeError, KeyError):
            return False  # another version of botocore
        # Tracers put something of theirs in the place of the method.
        unwrapped = type(getattr(type(self._s3), "_make_api_call", None)) is FunctionType
        return unwrapped and type(http) is AIOHTTPSession and all(_origin(one) in _KNOWN for one in handlers)

    async def _ask(self, template: _Template, key: str) -> Response | None:
        """None where botocore has to ask."""
        credentials = await template.credentials.get_frozen_credentials()
        try:
            url, headers = template.request(key, credentials, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
            address = URL(url, encoded=True)
            async with template.session.request("HEAD", address, headers=headers, allow_redirects=False) as response:
                # Of several with one name the last, as aiobotocore has it.
                told = {name.decode().lower(): value.decode() for name, value in response.raw_headers}
                if response.status in _BUSY:
                    await asyncio.sleep(random.random())  # noqa: S311  # as long as botocore waits at first
                return read_answer(response.status, told, self._members)
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, RuntimeError, ValueError):
            return None

    async def _learn(self, place: tuple[Any, ...], key: str, sent: list[Any], answer: Mapping[str, Any]) -> None:
        """Make a template of what botocore sent, if it sent it once, and was answered as usual."""
        if len(sent) != 1 or answer.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (200, 404):
            return
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        try:
            http, credentials = self._s3._endpoint.http_session, self._s3._request_signer._credentials
            direct = http._proxy_config.proxy_url_for(sent[0].url) is None
            session = http._sessions.get(None) if direct else None
            if session is not None and credentials is not None:
                template = _Template(sent[0], key, session, credentials)
                template.compare(sent[0], key, await credentials.get_frozen_credentials())
                self._templates[place] = template
        except (AttributeError, LookupError, ValueError, BotoCoreError):
            pass  # it is signed in another way, or this is another version of botocore


class _Template:
    """HEADs of one bucket. Raises `ValueError` or `LookupError` for a request that cannot be a template."""

    def __init__(self, request: Any, key: str, session: aiohttp.ClientSession, credentials: Any) -> None:
        self.session = session
        self.credentials = credentials
        """botocore's, which may renew themselves."""
        self._headers = _texts(request.headers) | {"Accept-Encoding": "identity"}  # as aiobotocore adds
        signed = _SIGNED.fullmatch(self._headers["Authorization"])
        if signed is None or not request.url.endswith(_quoted(key)):
            raise ValueError(request.url)
        self._before_key = request.url.removesuffix(_quoted(key))
        parts = urlsplit(self._before_key)
        self._path = parts.path
        self._scope = f"{signed['region']}/{signed['service']}/aws4_request"
        self._names = signed["names"]
        values = {name.lower(): " ".join(value.split()) for name, value in self._headers.items()}
        if _TRACE in values:
            raise ValueError(_TRACE)
        self._values = {name: (values | {"host": parts.netloc})[name] for name in self._names.split(";")}
        self._payload = values["x-amz-content-sha256"]
        self._derived: tuple[str, str, bytes] = ("", "", b"")

    def compare(self, request: Any, key: str, credentials: Any) -> None:
        """Raise `ValueError` if this does not give that request."""
        headers = _texts(request.headers)
        url, made = self.request(key, credentials, headers[_DATE])
        unlike = {name for name, value in headers.items() if made[name] != value}
        if url != request.url or not unlike <= {_INVOCATION}:
            raise ValueError(url)

    def request(self, key: str, credentials: Any, date: str) -> tuple[str, dict[str, str]]:
        """The address and the headers for a key, signed by frozen credentials for a moment (`20260102T030405Z`)."""
        quoted = _quoted(key)
        changing = {_DATE: date}
        if credentials.token:
            changing[_TOKEN] = credentials.token
        if (_TOKEN in changing) != (_TOKEN in self._headers):
            raise ValueError(f"credentials of another kind: {_TOKEN}")
        signed = self._values | {name.lower(): value for name, value in changing.items()}
        values = "".join([f"{name}:{value}\n" for name, value in signed.items()])
        canonical = f"HEAD\n{self._path}{quoted}\n\n{values}\n{self._names}\n{self._payload}"
        scope = f"{date[:8]}/{self._scope}"
        to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = digest(self._signing_key(credentials.secret_key, scope), to_sign.encode(), "sha256").hex()
        credential = f"Credential={credentials.access_key}/{scope}"
        changing["Authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={self._names}, Signature={signature}"
        if _INVOCATION in self._headers:
            changing[_INVOCATION] = str(uuid.uuid4())
        return self._before_key + quoted, {**self._headers, **changing}

    def _signing_key(self, secret: str, scope: str) -> bytes:
        if self._derived[:2] != (secret, scope):
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = digest(key, part.encode(), "sha256")
            self._derived = secret, scope, key
        return self._derived[2]


def read_answer(status: int, headers: dict[str, str], members: Members) -> Response | None:
    """What botocore makes of an answer to a HEAD, whose headers have names in small letters; None if it has to.

    Of a missing object that is the `response` of the error.
    """
    about: Response = {"HTTPStatusCode": status, "HTTPHeaders": headers, "RetryAttempts": 0}
    request, host = headers.get("x-amz-request-id"), headers.get("x-amz-id-2", "")
    if status == 404:
        error = {"Code": "404", "Message": responses[404]}
        return {"Error": error, "ResponseMetadata": {"RequestId": request or "", "HostId": host, **about}}
    if status != 200:
        return None
    if (other := headers.get("x-amzn-requestid")) is not None:
        about = {"RequestId": other, **about}
    elif request is not None:
        about = {"RequestId": request, "HostId": host, **about}
    metadata: dict[str, str] = {}
    answer: Response = {"ResponseMetadata": about, "Metadata": metadata}
    if (expires := headers.get("expires")) is not None:
        try:
            moment(expires)
        except (ValueError, RuntimeError):
            return None  # botocore warns of it
        answer["ExpiresString"] = expires
    for name, value in headers.items():
        if name in members:
            member, read = members[name]
            answer[member] = read(value)
        elif name.startswith(_USER):
            metadata[name[len(_USER) :]] = value
    return answer


def members_of(service: Any) -> Members:
    """The members of HeadObject's answer. Raises `KeyError` for a kind of member that is not known here."""
    shape = service.operation_model("HeadObject").output_shape
    places = {name: (member.serialization["location"], member) for name, member in shape.members.items()}
    if any(place != ("header" if name != "Metadata" else "headers") for name, (place, _) in places.items()):
        raise KeyError("location")
    return {
        member.serialization.get("name", name).lower(): (name, _READERS[member.type_name])
        for name, (place, member) in places.items()
        if place == "header"
    }


_READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": "true".__eq__,
    "timestamp": moment,
}


def _note(request: Any, **_: Any) -> None:
    if (sent := _SENT.get()) is not None:
        sent.append(request)


def _handlers(emitter: Any, event: str) -> list[Any]:
    found: list[Any] = emitter._handlers.prefix_search(event)
    return found


def _origin(handler: Any) -> str:
    """The module of an event handler, of botocore for one of aiobotocore."""
    return str(getattr(handler, "__module__", "")).removeprefix("aio")


def _quoted(key: str) -> str:
    quoted: str = percent_encode(key, safe="/~")
    return quoted


def _texts(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in headers.items()}
