"""Answers whose members are all in headers, read by a table that is made of botocore's description of the operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any

from deltaglider_async.store.moments import moment

Response = dict[str, Any]

_USER = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class Reader:
    """The members of an operation's answer."""

    members: Mapping[str, tuple[str, Callable[[str], Any]]]
    """By header, in small letters: the member, and what makes its value of the text."""
    metadata: bool
    """Whether it has the user's."""

    def read(self, status: int, headers: dict[str, str]) -> Response | None:
        """What botocore makes of an answer without a body; None if it has to. Of a missing object it is the `response`
        of the error. `headers` have names in small letters.
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
        answer: Response = {"ResponseMetadata": about}
        metadata: dict[str, str] = {}
        if self.metadata:
            answer["Metadata"] = metadata
            if (expires := headers.get("expires")) is not None:
                try:
                    moment(expires)
                except (ValueError, RuntimeError):
                    return None  # botocore warns of it
                answer["ExpiresString"] = expires
        for name, value in headers.items():
            if name in self.members:
                member, read = self.members[name]
                answer[member] = read(value)
            elif self.metadata and name.startswith(_USER):
                metadata[name[len(_USER) :]] = value
        return answer


def reader_of(service: Any, operation: str) -> Reader:
    """Raises `KeyError` for an operation that has answers, or a kind of member, that is not known here."""
    shape = service.operation_model(operation).output_shape
    places = {name: (member.serialization["location"], member) for name, member in shape.members.items()}
    if any(place != ("header" if name != "Metadata" else "headers") for name, (place, _) in places.items()):
        raise KeyError("location")
    members = {
        member.serialization.get("name", name).lower(): (name, _READERS[member.type_name])
        for name, (place, member) in places.items()
        if place == "header"
    }
    return Reader(members, "Metadata" in places)


_READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": "true".__eq__,
    "timestamp": moment,
}
