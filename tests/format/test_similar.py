from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.format.similar import similarity


@pytest.mark.parametrize(
    ("name", "nearer", "further"),
    [
        ("app-1.3.0.zip", "app-1.3.0.zip", "app-1.2.0.zip"),
        ("app-1.3.0.zip", "app-1.2.0.zip", "other-1.3.0.zip"),
        ("app-1.3.0.zip", "app-1.10.zip", "app-1.3.0.txt"),
        ("app-1.3.0.zip", "App-1.2.0.ZIP", "app-docs-1.3.0.zip"),
        ("app-1.3.0.zip", "app-1.3.1.zip", "app-7.9.5.zip"),
    ],
)
def test_versions_of_a_name_are_nearest(name: str, nearer: str, further: str) -> None:
    assert similarity(name, nearer) > similarity(name, further)


@given(st.text(max_size=12), st.text(max_size=12))
def test_it_is_a_share(name: str, other: str) -> None:
    assert 0.0 <= similarity(name, other) <= 1.0
    assert (similarity(name, other) == 1.0) == (name == other)
