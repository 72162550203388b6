from __future__ import annotations

import pytest
import typer

from deltaglider_async.cli.aws_options import completed, parse_map, parse_rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1,b=2", {"a": "1", "b": "2"}), ("a=x=y", {"a": "x=y"}), ("a=", {"a": ""}), ("", {}),
        ('{"a": "1,2", "b": "="}', {"a": "1,2", "b": "="}),
    ],
)  # fmt: skip
def test_maps_are_read_as_aws_s3_reads_them(text: str, expected: dict[str, str]) -> None:
    assert parse_map(text) == expected


@pytest.mark.parametrize("text", ["a", "a=1,b", "{", '{"a": 1}', "{}x"])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_map(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500", 500), ("500B", 500), ("1.5kB", 1500), ("20MB/s", 2e7), ("1 MiB", 1024**2), ("2GiB", 2 * 1024**3)],
)
def test_rates_are_bytes_per_second(text: str, expected: float) -> None:
    assert parse_rate(text) == expected


@pytest.mark.parametrize("text", ["0", "fast", "-1MB", "1e9", "MB", "1XB"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_rate(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--sse a b", "--sse AES256 a b"),
        ("--sse aws:kms a b", "--sse aws:kms a b"),
        ("a b --sse", "a b --sse AES256"),
        ("--request-payer a b", "--request-payer requester a b"),
        ("--request-payer requester a b", "--request-payer requester a b"),
        ("--grants read=uri=x full=id=y a b", "--grants read=uri=x --grants full=id=y a b"),
        ("a --grants read=id=x b", "a --grants read=id=x b"),
        ("-- --sse a", "-- --sse a"),
    ],
)
def test_values_may_be_left_out_or_follow_each_other_as_with_aws_s3(given: str, expected: str) -> None:
    assert completed(given.split()) == expected.split()
