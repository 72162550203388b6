"""The schedules that Hypothesis draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from tests.explorer import starts
from tests.explorer.explorer import Op, Schedule

_SHORTEST, _LONGEST = 32, 160
T = TypeVar("T")
#: What is in the bucket, and what each client does.
Shape = tuple[str, tuple[tuple[Op, ...], ...]]


def put_op(key: str, letter: str) -> Op:
    return Op("put", key, "delta", letter)


def plain_op(key: str, letter: str) -> Op:
    return Op("put", key, "plain", letter)


def delete_op(key: str) -> Op:
    return Op("delete", key)


def get_op(key: str) -> Op:
    return Op("get", key)


GC = Op("gc")

#: What has gone wrong before, or would without one of the protocol's steps. Letters O, P and Q are in the bucket.
KNOWN: tuple[Shape, ...] = (
    ("empty", ((put_op("a", "A"),), (put_op("b", "B"),))),
    ("empty", ((put_op("a", "A"),), (put_op("b", "B"),), (get_op("a"),))),
    ("empty", ((put_op("a", "A"),), (plain_op("a", "B"),), (get_op("a"), get_op("a")))),
    ("empty", ((put_op("a", "A"),), (plain_op("a", "A"),))),
    ("plain", ((put_op("a", "O"),), (plain_op("a", "O"),))),
    ("delta", ((put_op("a", "O"),), (plain_op("a", "O"),))),
    ("plain", ((put_op("a", "A"),), (plain_op("a", "B"),), (get_op("a"),))),
    ("delta", ((put_op("a", "A"),), (plain_op("a", "B"),), (get_op("a"),))),
    ("delta", ((plain_op("a", "B"),), (get_op("a"), get_op("a")))),
    ("delta", ((put_op("b", "B"),), (delete_op("a"),))),
    ("delta", ((put_op("a", "A"),), (delete_op("a"),))),
    ("pair", ((plain_op("a", "B"),), (delete_op("a"),), (put_op("a", "O"),))),
    ("trashed", ((GC,), (put_op("b", "B"),), (get_op("a"),))),
    ("trashed", ((GC,), (delete_op("a"), put_op("a", "A")), (get_op("a"),))),
    ("idle", ((GC,), (put_op("b", "B"),), (delete_op("c"),))),
    ("idle", ((GC,), (put_op("b", "O"), delete_op("b")), (put_op("a", "O"),))),
    ("idle", ((GC, GC), (put_op("b", "O"), delete_op("b")), (get_op("b"),))),
    ("replaced", ((GC,), (put_op("a", "B"), delete_op("b")), (get_op("a"),))),
    ("leftover", ((GC,), (delete_op("a"), put_op("a", "A")), (get_op("a"), get_op("a")))),
    ("pair", ((Op("copy", "b", source="a"),), (delete_op("a"),), (put_op("a", "A"), get_op("b")))),
    ("delta", ((Op("copy", "f/a", source="a"),), (delete_op("a"),), (put_op("f/b", "B"), delete_op("f/a")))),
    ("delta", ((Op("copy", "b", source="a"),), (delete_op("a"), delete_op("b")), (put_op("c", "B"),))),
    ("leftover", ((delete_op("a"),), (get_op("a"), get_op("a")))),
    ("leftover", ((delete_op("a"),), (plain_op("a", "B"),), (get_op("a"),))),
    ("pair", ((Op("deletes", "a"),), (plain_op("a", "B"),), (put_op("b", "A"), get_op("b")))),
    ("leftover", ((Op("deletes", "a"),), (plain_op("a", "B"), get_op("a")), (get_op("b"),))),
)

_WHATS = (
    *("put", "put", "put", "put", "get", "get", "get", "delete", "delete", "deletes"),
    *("create", "swap", "remove", "copy", "gc"),
)
_FORMS = ("delta", "delta", "plain")


class _Bytes:
    """Choices, one byte each. Drawing them all at once is what makes thousands of schedules a matter of seconds."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def pick(self, among: Sequence[T]) -> T:
        first, self.data = self.data[:1], self.data[1:]
        return among[(first or b"\0")[0] % len(among)]

    def op(self) -> Op:
        what, key, form, letter = self.pick(_WHATS), self.pick("aaabc"), self.pick(_FORMS), self.pick("ABOP")
        if what == "gc":
            return GC
        if what == "copy":
            return Op("copy", self.pick(("b", "f/a")), source="a") if key != "b" else Op("copy", "a", source="b")
        return Op(what, key, form, letter)  # type: ignore[arg-type]

    def shape(self) -> Shape:
        """Half of them what is known to be difficult, half anything."""
        if self.pick((True, False)):
            return self.pick(KNOWN)
        before = self.pick(starts.NAMES)
        clients = [tuple(self.op() for _ in range(self.pick((1, 1, 2, 3)))) for _ in range(self.pick((2, 3, 3, 4)))]
        return before, tuple(clients)

    def deaths(self) -> tuple[tuple[int, int], ...]:
        return tuple((self.pick(range(4)), self.pick(range(16))) for _ in range(self.pick((0, 0, 1, 2))))


def schedule(data: bytes) -> Schedule:
    """The schedule that these bytes mean."""
    choices = _Bytes(data)
    before, clients = choices.shape()
    deaths = choices.deaths()
    return Schedule(before, clients, choices.data, deaths)


schedules = st.binary(min_size=_SHORTEST, max_size=_LONGEST).map(schedule)
