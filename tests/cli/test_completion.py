"""What shells are offered for S3 URLs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deltaglider_async.cli.completion import _join_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Put

    Complete = Callable[..., list[str]]

DG = Path(sys.executable).with_name("dg")
CONTENT = os.urandom(5_000)


@pytest.fixture
def bash(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What bash is offered for the last of its words."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)

    def complete(*words: str, **environment: str) -> list[str]:
        asked = {"_DG_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
        result = subprocess.run(
            [DG], env={**os.environ, **asked, **environment}, capture_output=True, text=True, check=True
        )
        assert result.stderr == ""
        return result.stdout.split("\n")[:-1] if result.stdout.strip() else []

    return complete


@pytest.fixture
def filled(put: Put, bucket: str) -> str:
    """Deltas, their reference, folders, and names that a shell would misread."""
    put(bucket, {"rel/1.zip": CONTENT, "rel/2.zip": CONTENT + b"2", "rel/a b$.txt": b"", "deep/er/x:y.txt": b""})
    return bucket


def test_buckets_folders_and_keys_in_bash_which_cuts_words_at_colons(bash: Complete, filled: str) -> None:
    # A bucket that stands alone is gone into, and so on.
    assert bash("dg", "ls", "s3", ":", f"//{filled[:-1]}") == [f"//{filled}/deep/", f"//{filled}/rel/"]
    assert bash("dg", "rm", "-r", "s3", ":", f"//{filled}/rel/") == [
        f"//{filled}/rel/1.zip", f"//{filled}/rel/2.zip", f"//{filled}/rel/a\\ b\\$.txt",
    ]  # fmt: skip
    assert bash("dg", "cat", "s3", ":", f"//{filled}/d") == [f"//{filled}/deep/er/x:y.txt"]
    assert bash("dg", "cat", "s3", ":", f"//{filled}/deep/er/x", ":") == ["y.txt"]


def test_places_without_scheme_and_the_second_argument(bash: Complete, filled: str) -> None:
    assert bash("dg", "stats", f"{filled}/re") == [
        f"{filled}/rel/1.zip", f"{filled}/rel/2.zip", f"{filled}/rel/a\\ b\\$.txt",
    ]  # fmt: skip
    assert bash("dg", "cp", "local.zip", "s3", ":", f"//{filled}/rel/2") == [f"//{filled}/rel/2.zip"]


def test_the_endpoint_of_the_line_counts(bash: Complete, filled: str, s3_endpoint: str) -> None:
    line = ["dg", "head", "--endpoint-url", s3_endpoint, "s3", ":", f"//{filled}/rel/1"]
    assert bash(*line, AWS_ENDPOINT_URL="http://127.0.0.1:9") == [f"//{filled}/rel/1.zip"]


def test_local_names_are_left_to_the_shell(bash: Complete) -> None:
    assert bash("dg", "cp", "s") == []
    assert bash("dg", "cp", "") == []


def test_commands_are_completed_as_ever(bash: Complete) -> None:
    assert "presign" in bash("dg", "pre")


def test_errors_are_silent(bash: Complete, filled: str) -> None:
    word = f"//{filled}/"
    assert bash("dg", "ls", "s3", ":", word, AWS_ENDPOINT_URL="http://127.0.0.1:9") == []
    assert bash("dg", "ls", "s3", ":", word, AWS_ENDPOINT_URL="nonsense") == []
    assert bash("dg", "ls", "s3", ":", word, AWS_SECRET_ACCESS_KEY="") == []
    assert bash("dg", "ls", "s3", ":", word, DG_MAX_RATIO="2") == []
    assert bash("dg", "ls", "s3", ":", "//no-such-bucket-here/") == []


def test_nobody_waits_for_a_service_that_does_not_answer(bash: Complete) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert bash("dg", "ls", "s3", ":", "//bucket/", AWS_ENDPOINT_URL=url) == []


def test_zsh_gets_whole_urls_with_colons_escaped(filled: str, s3_endpoint: str) -> None:
    asked = {"_DG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"dg ls s3://{filled}/rel/1"}
    environment = {**os.environ, **asked, "AWS_ENDPOINT_URL": s3_endpoint}
    result = subprocess.run([DG], env=environment, capture_output=True, text=True, check=True)
    assert f's3\\\\://{filled}/rel/1.zip"' in result.stdout


@pytest.mark.parametrize(
    ("words", "joined", "kept"),
    [
        (["dg", "ls", "s3", ":", "//b/k"], ["dg", "ls", "s3://b/k"], "s3:"),
        (["dg", "ls", "s3", ":"], ["dg", "ls", "s3:"], "s3:"),
        (["dg", "ls", "s3"], ["dg", "ls", "s3"], ""),
        (["dg", "cp", "s3", ":", "//b/a", "=", "b", "x"], ["dg", "cp", "s3://b/a=b", "x"], ""),
        (["dg", "cp", "s3", ":", "//b/a", "=", "b"], ["dg", "cp", "s3://b/a=b"], "s3://b/a="),
        (["dg", "cp", "s3", ":", "//b/a", "s3", ":", "//c/"], ["dg", "cp", "s3://b/a", "s3://c/"], "s3:"),
        (["dg", "ls", "--region", "=", "x", ""], ["dg", "ls", "--region", "=", "x", ""], ""),
    ],
)
def test_words_that_bash_has_cut(
    words: list[str], joined: list[str], kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", "\n".join([*words, "after the cursor"]))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    assert _join_words() == kept
    assert (os.environ["COMP_WORDS"].split("\n"), os.environ["COMP_CWORD"]) == (joined, str(len(joined) - 1))
