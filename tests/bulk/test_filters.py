from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk.filters import Filters

kinds: list[Literal["include", "exclude"]] = ["include", "exclude"]
names = st.text("ab/.*?[", min_size=1, max_size=6)
rules = st.lists(st.tuples(st.sampled_from(kinds), st.text("ab/.*?", min_size=1, max_size=4)), max_size=6)


def test_without_rules_everything_is_in() -> None:
    assert Filters().allow("any/thing")


def test_the_last_rule_that_matches_decides() -> None:
    only_zip = Filters.of([("exclude", "*"), ("include", "*.zip")])
    assert only_zip.allow("deep/down/app.zip")
    assert not only_zip.allow("app.txt")
    nothing = Filters.of([("include", "*.zip"), ("exclude", "*")])
    assert not nothing.allow("app.zip")


def test_a_pattern_covers_the_whole_name_and_star_crosses_folders() -> None:
    filters = Filters.of([("exclude", "app"), ("exclude", "tmp/*")])
    assert filters.allow("app.zip")
    assert filters.allow("my/app")
    assert not filters.allow("tmp/a/b")


@given(rules, names)
def test_order_is_that_of_a_scan_from_the_front(
    given_rules: list[tuple[Literal["include", "exclude"], str]], name: str
) -> None:
    expected = True
    for kind, pattern in given_rules:
        if fnmatchcase(name, pattern):
            expected = kind == "include"
    assert Filters.of(given_rules).allow(name) is expected
