"""When lifecycle rules take objects: worked examples of S3's documentation, and what must hold of any rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.engine.lifecycle import NEVER, Fate, fate, parsed

#: S3's own example: written at 10:30, days counted from then, rounded up to the next midnight.
WRITTEN = datetime(2014, 1, 15, 10, 30, tzinfo=UTC)


def rule(**given: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {}, **given}


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "readable", "kept"),
    [
        (rule(Expiration={"Days": 3}), day("2014-01-19"), day("2014-01-19")),
        (rule(Expiration={"Days": 3}, Status="Disabled"), NEVER, NEVER),
        (rule(Expiration={"Date": day("2020-01-01")}), day("2020-01-01"), day("2020-01-01")),
        (rule(Expiration={"Date": "2020-01-01T00:00:00+00:00"}), day("2020-01-01"), day("2020-01-01")),
        (rule(Expiration={"Date": day("2010-01-01")}), WRITTEN, WRITTEN),
        (rule(Expiration={"ExpiredObjectDeleteMarker": True}), NEVER, NEVER),
        (rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}), NEVER, NEVER),
        (rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}), NEVER, NEVER),
        (rule(Transitions=[{"Days": 3, "StorageClass": "GLACIER"}]), day("2014-01-19"), NEVER),
        (rule(Transitions=[{"Days": 0, "StorageClass": "DEEP_ARCHIVE"}]), day("2014-01-16"), NEVER),
        (rule(Transitions=[{"Days": 3, "StorageClass": "GLACIER_IR"}]), NEVER, NEVER),
        (rule(Transitions=[{"Days": 3, "StorageClass": "STANDARD_IA"}]), NEVER, NEVER),
        (
            rule(Transitions=[{"Days": 3, "StorageClass": "GLACIER"}], Expiration={"Days": 9}),
            day("2014-01-19"),
            day("2014-01-25"),
        ),
        (rule(Expiration={"Days": 9_999_999}), NEVER, NEVER),
        (rule(Expiration={"Days": 3}, Filter={"Prefix": "a/"}), day("2014-01-19"), day("2014-01-19")),
        (rule(Expiration={"Days": 3}, Filter={"Prefix": "b/"}), NEVER, NEVER),
        ({"Status": "Enabled", "Prefix": "b/", "Expiration": {"Days": 3}}, NEVER, NEVER),
        ({"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 3}}, day("2014-01-19"), day("2014-01-19")),
        (
            rule(Expiration={"Days": 3}, Filter={"Tag": {"Key": "k", "Value": "v"}}),
            day("2014-01-19"),
            day("2014-01-19"),
        ),
        (rule(Expiration={"Days": 3}, Filter={"Tag": {"Key": "k", "Value": "w"}}), NEVER, NEVER),
        (rule(Expiration={"Days": 3}, Filter={"ObjectSizeGreaterThan": 99}), day("2014-01-19"), day("2014-01-19")),
        (rule(Expiration={"Days": 3}, Filter={"ObjectSizeGreaterThan": 100}), NEVER, NEVER),
        (rule(Expiration={"Days": 3}, Filter={"ObjectSizeLessThan": 100}), NEVER, NEVER),
        (
            rule(
                Expiration={"Days": 3},
                Filter={"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeLessThan": 101}},
            ),
            day("2014-01-19"),
            day("2014-01-19"),
        ),
        (
            rule(Expiration={"Days": 3}, Filter={"And": {"Prefix": "a/", "Tags": [{"Key": "x", "Value": "v"}]}}),
            NEVER,
            NEVER,
        ),
    ],
)
def test_what_a_rule_does(given: dict[str, Any], readable: datetime, kept: datetime) -> None:
    end = fate(parsed([given]), "a/b", 100, WRITTEN, frozenset({("k", "v"), ("l", "w")}))
    assert (end.readable, end.kept) == (readable, kept)


def test_the_first_of_several_rules_counts_and_is_named() -> None:
    rules = parsed([rule(ID="slow", Expiration={"Days": 9}), rule(ID="quick", Expiration={"Days": 3})])
    assert fate(rules, "a", 1, WRITTEN) == Fate(day("2014-01-19"), day("2014-01-19"), "quick")
    assert fate(reversed(rules), "a", 1, WRITTEN).rule == "quick"
    assert fate((), "a", 1, WRITTEN) == Fate()


def test_less_than_a_day_is_no_difference() -> None:
    early, late = Fate(WRITTEN, WRITTEN), Fate(WRITTEN + timedelta(hours=23), WRITTEN + timedelta(hours=23))
    assert not early.ends_before(late)
    assert early.ends_before(Fate())
    assert not Fate().ends_before(early)
    assert Fate(readable=WRITTEN).ends_before(Fate())


moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(days=st.integers(0, 40_000), reference=moments, delta=moments)
def test_a_rule_by_age_never_takes_the_younger_first(days: int, reference: datetime, delta: datetime) -> None:
    rules = parsed([rule(Expiration={"Days": days})])
    first, second = fate(rules, "r", 1, reference), fate(rules, "d", 1, delta)
    if reference >= delta:
        assert not first.ends_before(second)
    elif delta - reference >= timedelta(days=1):
        assert first.ends_before(second)
    due = reference + timedelta(days=days)
    assert due <= first.kept < due + timedelta(days=1)
