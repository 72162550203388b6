"""What botocore sent, as the template of the next request of its kind, which differs in little, and its signature.

Nothing of a template is guessed. It is used only if, for the key, the values and the date of botocore's request, it
gives botocore's request, signature included (Signature Version 4 in headers), and if all that the request has is known:
what is the same for each of its kind, and what is replaced.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from typing import Any
from urllib.parse import urlsplit

from botocore.utils import percent_encode

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/(?P<region>[^/,]+)/(?P<service>[^/,]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[^,]+), Signature=[0-9a-f]{64}"
)
_DATE, _TOKEN, _INVOCATION = "X-Amz-Date", "X-Amz-Security-Token", "amz-sdk-invocation-id"
_AUTHORIZATION, _PAYLOAD, _EXPECT = "Authorization", "X-Amz-Content-SHA256", "Expect"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_LENGTH = "Content-Length"
#: The headers of each request, whatever it asks for. Others are of its arguments.
_COMMON = frozenset(
    {name.lower() for name in (_DATE, _TOKEN, _INVOCATION, _AUTHORIZATION, _PAYLOAD, _EXPECT)}
    | {"user-agent", "amz-sdk-request", "accept-encoding"}
)


@dataclass(frozen=True, slots=True)
class Part:
    """What differs between two requests of one kind, besides the key: a body, its SHA-256 (hex), and headers."""

    body: bytes = b""
    sha256: str = sha256().hexdigest()
    headers: Mapping[str, str] = field(default_factory=dict)


NOTHING = Part()


class Template:
    """Requests of one kind. `known`: headers, in small letters, that the arguments are sent as.

    Raises `ValueError` or `LookupError` for a request that cannot be a template.
    """

    def __init__(self, request: Any, key: str, part: Part, known: frozenset[str]) -> None:
        self.method: str = request.method
        headers = texts(request.headers)
        signed = _SIGNED.fullmatch(headers[_AUTHORIZATION])
        if signed is None or not request.url.endswith(_quoted(key)):
            raise ValueError(request.url)
        self._before_key = request.url.removesuffix(_quoted(key))
        parts = urlsplit(self._before_key)
        self._path = parts.path
        self._scope = f"{signed['region']}/{signed['service']}/aws4_request"
        self._names = signed["names"]
        if {_INVOCATION, _LENGTH.lower()} & set(self._names.split(";")):
            raise ValueError("signed, and replaced afterwards")
        replaced = {name.lower() for name in part.headers}
        values = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        if unknown := values.keys() - _COMMON - known - replaced - ({_LENGTH.lower()} if part.body else set()):
            raise ValueError(str(unknown))
        if len(values) < len(headers) or len(replaced) < len(part.headers):
            raise ValueError("two spellings of one header")
        self._values = {name: (values | {"host": parts.netloc})[name] for name in self._names.split(";")}
        self._payload = values[_PAYLOAD.lower()]
        self._signs_body = self._payload == part.sha256
        if not self._signs_body and self._payload != _UNSIGNED:
            raise ValueError(self._payload)
        # The body is small: to ask first whether it is wanted takes longer than to send it.
        headers.pop(_EXPECT, None)
        self._headers = headers | {"Accept-Encoding": "identity"}  # as aiobotocore adds
        self._derived: tuple[str, str, bytes] = ("", "", b"")

    def compare(self, request: Any, key: str, part: Part, credentials: Any) -> None:
        """Raise `ValueError` if this does not give that request."""
        headers = texts(request.headers)
        url, made = self.request(key, part, credentials, headers[_DATE])
        unlike = {name for name, value in headers.items() if made.get(name) != value}
        if (
            url != request.url
            or not unlike <= {_INVOCATION, _EXPECT}
            or not made.keys() <= headers.keys() | {"Accept-Encoding"}
        ):
            raise ValueError(url)

    def request(self, key: str, part: Part, credentials: Any, date: str) -> tuple[str, dict[str, str]]:
        """The address and the headers for a key, signed by frozen credentials for a moment (`20260102T030405Z`)."""
        quoted = _quoted(key)
        changing = {**part.headers, _DATE: date}
        payload = self._payload
        if self._signs_body:
            changing[_PAYLOAD] = payload = part.sha256
        if credentials.token:
            changing[_TOKEN] = credentials.token
        if (_TOKEN in changing) != (_TOKEN in self._headers):
            raise ValueError(f"credentials of another kind: {_TOKEN}")
        signed = dict(self._values)
        for name, value in changing.items():
            if (lowered := name.lower()) in signed:
                signed[lowered] = " ".join(value.split())
        values = "".join([f"{name}:{value}\n" for name, value in signed.items()])
        canonical = f"{self.method}\n{self._path}{quoted}\n\n{values}\n{self._names}\n{payload}"
        scope = f"{date[:8]}/{self._scope}"
        to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = digest(self._signing_key(credentials.secret_key, scope), to_sign.encode(), "sha256").hex()
        credential = f"Credential={credentials.access_key}/{scope}"
        changing[_AUTHORIZATION] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={self._names}, Signature={signature}"
        if _INVOCATION in self._headers:
            changing[_INVOCATION] = str(uuid.uuid4())
        if part.body:
            changing[_LENGTH] = str(len(part.body))
        return self._before_key + quoted, {**self._headers, **changing}

    def _signing_key(self, secret: str, scope: str) -> bytes:
        if self._derived[:2] != (secret, scope):
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = digest(key, part.encode(), "sha256")
            self._derived = secret, scope, key
        return self._derived[2]


def _quoted(key: str) -> str:
    quoted: str = percent_encode(key, safe="/~")
    return quoted


def texts(headers: Mapping[str, Any]) -> dict[str, str]:
    """Headers as text, which botocore has as text, bytes or numbers."""
    return {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in headers.items()}
