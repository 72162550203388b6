"""The schedules that Hypothesis draws."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.explorer import starts
from tests.explorer.explorer import Op, Schedule

_LONGEST = 80
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
    ("leftover", ((delete_op("a"),), (get_op("a"), get_op("a")))),
    ("leftover", ((delete_op("a"),), (plain_op("a", "B"),), (get_op("a"),))),
)

_ops = st.builds(
    Op,
    what=st.sampled_from(("put", "put", "put", "get", "get", "delete", "create", "swap", "remove")),
    key=st.sampled_from(("a", "a", "a", "b", "c")),
    form=st.sampled_from(("delta", "delta", "plain")),
    letter=st.sampled_from("ABOP"),
)
_copies = st.builds(
    lambda keys, letter: Op("copy", keys[0], letter=letter, source=keys[1]),
    st.sampled_from((("a", "b"), ("b", "a"), ("c", "a"))),
    st.just(""),
)
_clients = st.lists(st.lists(_ops, min_size=1, max_size=3).map(tuple), min_size=2, max_size=4)
_anything = st.tuples(st.sampled_from(starts.NAMES), _clients.map(tuple))
_deaths = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 14)), max_size=2).map(tuple)


@st.composite
def schedules(draw: st.DrawFn, among: Sequence[Shape] = ()) -> Schedule:
    """Half of them of what is known to be difficult, half of anything; or only of what is given."""
    shapes = st.sampled_from(among) if among else st.one_of(st.sampled_from(KNOWN), _anything)
    before, clients = draw(shapes)
    return Schedule(before, clients, draw(st.binary(min_size=8, max_size=_LONGEST)), draw(_deaths))
