from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.format import candidates
from deltaglider_async.format.candidates import DEFAULT_POLICY, DeltaPolicy
from deltaglider_async.settings import MIB, Settings, delta_rules


def policy(patterns: str) -> DeltaPolicy:
    return DeltaPolicy.of(Settings(delta_patterns=patterns))


@pytest.mark.parametrize("key", ["a.zip", "a.ZIP", "x/a.tar.gz", "a.tgz", "a.jar", ".zip", "a.txt.7z"])
def test_archives_are_candidates(key: str) -> None:
    assert DEFAULT_POLICY.is_candidate("bucket", key)
    assert DeltaPolicy.of(Settings()).is_candidate("bucket", key, 1)


@pytest.mark.parametrize("key", ["a.txt", "zip", "a.zip/", "a.zip.sha256", "a.zip/readme"])
def test_other_names_are_none(key: str) -> None:
    assert not DEFAULT_POLICY.is_candidate("bucket", key)


@pytest.mark.parametrize("key", ["a", "x/y/a.txt", "a.zip", "/", "a/", "line\nend", "ü"])
def test_a_star_makes_every_key_a_candidate(key: str) -> None:
    assert policy("*").is_candidate("any", key)
    assert not policy("!*").is_candidate("any", key)


def test_patterns_replace_the_list_unless_they_name_it() -> None:
    assert not policy("*.bin").is_candidate("b", "a.zip")
    for both in ("default *.bin", "*.bin, default", "default,*.bin", " default\n*.BIN "):
        assert policy(both).is_candidate("b", "a.zip")
        assert policy(both).is_candidate("b", "x/A.bin")


def test_the_last_pattern_that_matches_decides() -> None:
    rules = policy("default !app-*.iso app-1*.iso")
    assert rules.is_candidate("b", "other.iso")
    assert not rules.is_candidate("b", "x/app-2.iso")
    assert rules.is_candidate("b", "x/app-1.iso")
    assert policy("* !default").is_candidate("b", "a.txt")
    assert not policy("* !default").is_candidate("b", "a.zip")


def test_a_pattern_with_a_slash_begins_with_the_bucket() -> None:
    for spelled in ("releases/app/*.bin", "s3://releases/app/*.bin"):
        rules = policy(spelled)
        assert rules.is_candidate("releases", "app/1.bin")
        assert rules.is_candidate("releases", "app/x/1.bin")  # as in `aws s3 --include`
        for bucket, key in (("other", "app/1.bin"), ("releases", "x/app/1.bin"), ("releases", "app.bin")):
            assert not rules.is_candidate(bucket, key)
    assert policy("*/app/*").is_candidate("any", "app/1")
    assert policy("releases/app/").is_candidate("releases", "app/x/1")
    assert policy("releases/").is_candidate("releases", "x")


def test_a_range_of_sizes_limits_a_rule() -> None:
    rules = policy("*.bin@1MiB..2MiB !app/* app/*@10..")
    assert [rules.is_candidate("b", "x.bin", size) for size in (MIB - 1, MIB, 2 * MIB, 2 * MIB + 1)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not rules.is_candidate("app", "x.bin", 9)
    assert rules.is_candidate("app", "x.bin", 10)
    small = policy("default !*@..1.5KiB")
    assert not small.is_candidate("b", "a.zip", 1536)
    assert small.is_candidate("b", "a.zip", 1537)


def test_without_a_size_a_name_counts_that_is_a_candidate_at_some_size() -> None:
    assert policy("*.bin@1MiB..").is_candidate("b", "x.bin")
    assert policy("default !*@..1KiB").is_candidate("b", "x.zip")
    assert not policy("default !*").is_candidate("b", "x.zip")
    assert not policy("default !*.txt@..1KiB").is_candidate("b", "x.txt")


def test_an_at_sign_without_a_range_is_part_of_the_name() -> None:
    assert policy("@scope-*.tgz").is_candidate("b", "x/@scope-pkg.tgz", 5)
    assert policy("*@2x.png").is_candidate("b", "logo@2x.png", 5)


def test_sizes_for_all_names() -> None:
    rules = DeltaPolicy.of(Settings(delta_min_size="1KiB", delta_max_size=4096))
    assert [rules.is_candidate("b", "a.zip", size) for size in (1023, 1024, 4096, 4097)] == [False, True, True, False]
    assert "DG_DELTA_MAX_SIZE" in rules.why_not("b", "a.zip", 5000)


@given(st.text(max_size=20))
def test_every_text_is_read_or_refused_as_a_value(text: str) -> None:
    try:
        rules = delta_rules(text)
    except ValueError:
        return
    DeltaPolicy(rules).is_candidate("bucket", "key", 5)


@given(st.binary(max_size=8))
def test_only_four_beginnings_are_compressed_streams(head: bytes) -> None:
    magic = {b"\x1f\x8b": "gzip", b"\x1f\x9d": "compress", b"BZh": "bzip2", b"\xfd7": "xz"}
    assert candidates.compressed_stream(head) == next((magic[m] for m in magic if head.startswith(m)), None)
    for beginning, name in magic.items():
        assert candidates.compressed_stream(beginning + head) == name
