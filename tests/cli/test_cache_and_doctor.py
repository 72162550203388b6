from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from deltaglider_async.cli.checks import _clock
from deltaglider_async.cli.main import app
from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from types_boto3_s3 import S3Client

    Invoke = Callable[..., tuple[int, str]]

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def dg(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run `dg` in this process; exit code and standard output."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    return invoke


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a cache that is kept."""
    monkeypatch.setenv("DG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", KEY)
    return tmp_path / "cache"


def use(bucket: str) -> None:
    """Have the cache keep the reference of a bucket's only folder."""

    async def put_and_get() -> None:
        async with create_client() as client:
            for name in ("1.zip", "2.zip"):
                await client.put_object(Bucket=bucket, Key=name, Body=b"x" * 10_000 + name.encode())
            await (await client.get_object(Bucket=bucket, Key="2.zip"))["Body"].read()

    asyncio.run(put_and_get())


def test_a_cache_that_ends_with_each_command(dg: Invoke, monkeypatch: Any) -> None:
    code, said = dg("cache")
    assert code == 0
    assert "DG_CACHE_ENCRYPTION_KEY" in said
    monkeypatch.setenv("DG_CACHE_BACKEND", "memory")
    code, said = dg("cache", "--json")
    found = json.loads(said)
    assert (code, found["backend"], found["lasting"], found["folder"]) == (0, "memory", False, None)


def test_looking_at_a_cache_that_is_not_there_does_not_make_one(dg: Invoke, folder: Path) -> None:
    code, said = dg("cache")
    assert (code, folder.exists()) == (0, False)
    assert f"folder      {folder}\nentries     0 references" in said


@pytest.mark.parametrize("form", ["clear", "--clear"])
def test_a_cache_is_shown_and_cleared_but_not_what_another_key_has_sealed(
    dg: Invoke, folder: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    use(bucket)
    (entry,) = folder.glob("*.sealed")
    found = json.loads(dg("cache", "--json")[1])
    assert (found["folder"], found["entries"], found["size"]) == (str(folder), 1, entry.stat().st_size)
    assert (found["lasting"], found["cleared"], found["other_entries"]) == (True, False, 0)
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", OTHER)
    code, said = dg("cache", form)
    assert (code, said.splitlines()[0]) == (0, "0 references removed, 0 B freed")
    assert "1 reference, " in said.splitlines()[1]
    assert entry.exists()
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", KEY)
    code, said = dg("cache", form)
    assert (code, said[:20]) == (0, "1 reference removed,")
    assert not list(folder.glob("*.sealed"))


def checks(said: str) -> dict[str, Any]:
    """By name; of several, the last."""
    records = [json.loads(line) for line in said.splitlines()]
    return {record.get("name", "summary"): record for record in records}


def test_a_doctor_who_finds_everything_in_order(dg: Invoke) -> None:
    code, said = dg("doctor", "--json")
    found = checks(said)
    assert code == 0
    assert found["summary"]["fail"] == 0
    for name in ("version", "settings", "xdelta3", "credentials", "endpoint", "latency", "clock", "access"):
        assert found[name]["status"] == "ok", found[name]
    assert found["credentials"]["detail"] == "from the environment"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said
    assert os.environ["AWS_ACCESS_KEY_ID"] not in said
    assert {"cache", "temporary"} <= found.keys()


def test_a_doctor_who_looks_at_a_bucket_leaves_nothing_in_it(dg: Invoke, bucket: str, s3: S3Client) -> None:
    code, said = dg("doctor", f"s3://{bucket}/rel", "--json")
    conditions = [json.loads(line) for line in said.splitlines() if '"conditions"' in line]
    assert code == 0
    # What this server does not keep, each with what follows from it.
    assert [each["detail"].split(" is ")[0] for each in conditions] == [
        "CopyObject CopySourceIfMatch", "UploadPartCopy CopySourceIfMatch", "CompleteMultipartUpload IfMatch"
    ]  # fmt: skip
    assert all(each["status"] == "warn" and each["advice"].startswith("So ") for each in conditions)
    assert checks(said)["lifecycle"]["status"] == "ok"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize(("server", "missing"), [("minio", "DeleteObject IfMatch"), ("versitygw", "")])
def test_what_other_services_keep(dg: Invoke, real_server: Callable[[str], str], server: str, missing: str) -> None:
    endpoint_url, name = real_server(server), f"doctor-{secrets.token_hex(4)}"
    assert dg("mb", f"s3://{name}", "--endpoint-url", endpoint_url)[0] == 0
    code, said = dg("doctor", name, "--json", "--endpoint-url", endpoint_url)
    check = checks(said)["conditions"]
    assert (code, check["status"]) == (0, "warn" if missing else "ok")
    assert check["detail"].startswith(missing or "all are kept")
    assert dg("rb", f"s3://{name}", "--endpoint-url", endpoint_url)[0] == 0


def test_rules_that_could_take_references_are_named(dg: Invoke, bucket: str, s3: S3Client) -> None:
    rule: Any = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    found = checks(dg("doctor", bucket, "--json")[1])["lifecycle"]
    assert (found["status"], f"dg fsck s3://{bucket}/" in found["advice"]) == ("warn", True)


def test_what_is_wrong_is_told_with_what_to_do(dg: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DG_XDELTA3", "no-such-program")
    monkeypatch.setenv("DG_CACHE_SIZE", "1")
    found = checks(dg("doctor", "--json")[1])
    assert (found["xdelta3"]["status"], "apt-get" in found["xdelta3"]["advice"]) == ("fail", True)
    assert (found["settings"]["status"], found["settings"]["detail"]) == ("warn", "DG_CACHE_SIZE: no such variable")
    code, said = dg("doctor", "no-such-bucket-here")
    assert code == 1
    assert "fail  access " in said
    assert "there is no bucket 'no-such-bucket-here'" in said
    assert "Traceback" not in said
    monkeypatch.setenv("DG_XDELTA3", sys.executable)
    assert "no xdelta3" in dg("doctor")[1]
    monkeypatch.setenv("DG_MAX_RATIO", "2")
    code, said = dg("doctor")
    assert (code, "fail  settings" in said, "fail  xdelta3" in said) == (1, True, True)


def test_missing_credentials_and_an_endpoint_that_is_away(dg: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, said = dg("doctor", "--json", "--endpoint-url", "http://127.0.0.1:9")
    found = checks(said)
    assert (code, found["endpoint"]["status"], "latency" in found) == (1, "fail", False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, said = dg("doctor", "--json")
    assert (code, checks(said)["credentials"]["status"]) == (1, "fail")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    code, said = dg("doctor", "--json")
    assert (code, checks(said)["credentials"]["status"]) == (1, "fail")
    code, said = dg("doctor", "--json", "--no-sign-request")
    assert checks(said)["credentials"]["status"] == "ok"


@pytest.mark.parametrize(
    ("away", "status"), [(0, "ok"), (30, "ok"), (-300, "warn"), (300, "warn"), (1000, "fail"), (-1000, "fail")]
)
def test_a_clock_that_is_wrong(away: int, status: str) -> None:
    check = _clock(format_datetime(datetime.now(UTC) - timedelta(seconds=away), usegmt=True))
    assert check.status == status
    assert bool(check.advice) is (status != "ok")
    assert _clock("").status == "warn"
