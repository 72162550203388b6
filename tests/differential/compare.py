"""Where two runs of one program differ, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.differential.program import Program, UploadOf

if TYPE_CHECKING:
    from tests.differential.run import Outcome, Side

#: Two buckets are written one after the other.
_SAME_MOMENT = timedelta(minutes=3)
#: Names of one server's own making, which differ between any two buckets: only whether two are the same is compared.
_NAMED = frozenset(
    {
        "UploadId", "NextUploadIdMarker", "UploadIdMarker", "VersionId", "CopySourceVersionId", "VersionIdMarker",
        "NextVersionIdMarker", "DeleteMarkerVersionId",
    }
)  # fmt: skip
#: Texts that mean something to one client only: compared is whether there is one.
_OPAQUE = frozenset({"ContinuationToken", "NextContinuationToken"})


@dataclass(frozen=True)
class Difference:
    """One field that two answers do not agree on. `key`: the object that it speaks of, as far as one can tell."""

    step: int
    operation: str
    field: str
    kind: str
    key: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        match self.kind:
            case "added":
                what = f"boto3 has none, here {self.ours!r}"
            case "missing":
                what = f"boto3 {self.theirs!r}, here none"
            case _:
                what = f"boto3 {self.theirs!r}, here {self.ours!r}"
        return f"call {self.step + 1}, {self.operation}: {self.field} ({self.kind}): {what}"[:2000]


@dataclass
class Comparison:
    """Two sides that ran the same program."""

    program: Program
    theirs: Side
    ours: Side
    _names: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))
    _etags: dict[str, str] = field(default_factory=dict)

    def differences(self, theirs: list[Outcome], ours: list[Outcome]) -> Iterator[Difference]:
        """All differences, in the order of the calls."""
        for number, (step, their, our) in enumerate(zip(self.program, theirs, ours, strict=True)):
            key = step.arguments.get("Key", "")
            if isinstance(key, UploadOf):
                key = self.ours.upload(key.number).key

            def report(path: str, kind: str, key: str, their: Any, our: Any, at: int = number) -> Difference:
                name = path.removeprefix("pages[].")
                return Difference(at, self.program[at].name, name, kind, key, their, our)

            if (their.error is None) != (our.error is None):
                wrong = our.error if our.error is not None else their.error
                kind = "raises" if our.error is not None else "different"
                their_text = _told(their) if their.error is not None else "answers"
                yield report("Exception", kind, key, their_text, repr(wrong) if our.error is not None else "answers")
            elif their.error is not None and our.error is not None:
                if isinstance(our.error, type(their.error)):
                    yield from self._between(_raised(their.error), _raised(our.error), "", key, report)
                else:
                    yield report("Exception", "different", key, _told(their), _told(our))
            else:
                yield from self._between(their.answer, our.answer, "", key, report)

    def _between(
        self, theirs: Any, ours: Any, path: str, key: str, report: Callable[..., Difference]
    ) -> Iterator[Difference]:
        name = path.rpartition(".")[2]
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            told = theirs.get("Key", theirs.get("Prefix"))
            key = told if isinstance(told, str) and path else key
            for field_name in (*theirs, *(name for name in ours if name not in theirs)):
                inner = f"{path}.{field_name}" if path else str(field_name)
                if field_name not in ours:
                    yield report(inner, "missing", key, theirs[field_name], None)
                elif field_name not in theirs:
                    yield report(inner, "added", key, None, ours[field_name])
                else:
                    yield from self._between(theirs[field_name], ours[field_name], inner, key, report)
        elif isinstance(theirs, list) and isinstance(ours, list):
            if len(theirs) != len(ours):
                yield report(f"{path}[]", "different", key, theirs, ours)
            else:
                for their_item, our_item in zip(theirs, ours, strict=True):
                    yield from self._between(their_item, our_item, f"{path}[]", key, report)
        elif name == "ETag":
            yield from self._between_etags(theirs, ours, path, key, report)
        elif not self._same(name, theirs, ours):
            yield report(path, "different", key, theirs, ours)

    def _between_etags(
        self, theirs: str, ours: str, path: str, key: str, report: Callable[..., Difference]
    ) -> Iterator[Difference]:
        """What has one ETag here has one there, although they need not be equal."""
        if theirs != ours:
            yield report(path, "different", key, theirs, ours)
        known = self._etags.setdefault(ours.strip('"'), theirs.strip('"'))
        same = known == theirs.strip('"') or "-" in known or "-" in theirs  # parts that became one object again
        if not same or theirs.count('"') != ours.count('"'):
            yield report(path, "not that of the same write", key, f"{theirs}, before {known}", ours)

    def _same(self, name: str, theirs: Any, ours: Any) -> bool:
        if type(theirs) is not type(ours):
            return False
        if isinstance(theirs, datetime):
            return bool(abs(theirs - ours) < _SAME_MOMENT)
        if name in _OPAQUE:
            return bool(theirs) == bool(ours)
        if name in _NAMED:
            return self._numbered(0, theirs) == self._numbered(1, ours)
        if isinstance(theirs, str) and theirs != ours:
            return str(theirs).replace(self.theirs.bucket, "BUCKET") == str(ours).replace(self.ours.bucket, "BUCKET")
        return bool(theirs == ours)

    def _numbered(self, side: int, name: str) -> str:
        if name in ("", "null"):
            return name
        return self._names[side].setdefault(name, f"number {len(self._names[side])}")


def _told(outcome: Outcome) -> str:
    return f"{type(outcome.error).__name__}: {outcome.error}"


def _raised(error: Exception) -> dict[str, Any]:
    """What an exception tells, besides its class."""
    return {"Operation": error.operation_name, **error.response} if isinstance(error, ClientError) else {}
