"""What every test gets: a loop that must not block, an environment without AWS, and an S3 server."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import rich  # noqa: F401  # a command imports it in its loop, and the first import asks for the current folder
from anyio.from_thread import start_blocking_portal
from blockbuster import BlockBuster, blockbuster_ctx
from botocore.config import Config
from botocore.session import Session

from deltaglider_async.cli.local_server import local_s3
from tests.forked import serving
from tests.real_servers import (  # noqa: F401, fixtures for every test
    ACCESS_KEY,
    SECRET_KEY,
    conditional_endpoint,
    ignorant_endpoint,
    real_endpoint,
    real_server,
)
from tests.tally import Tally

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGION = "us-east-1"


_TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="run the proofs of tests/torture at their full length")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally(bool(config.getoption("--torture")))
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Order())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Which tests must run in one process, where there are several: those that prepare something costly together."""
    for item in items:
        if (group := _group(item)) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group))


class Order:
    """Large groups begin first: the last of all is then a short test, and no process waits long for another."""

    @staticmethod
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        groups = [item.get_closest_marker("xdist_group") for item in items]
        if any(group and "@" not in item.nodeid for item, group in zip(items, groups, strict=True)):
            raise pytest.UsageError("tests that belong together would not run in one process: pytest-xdist is too old")
        sizes = Counter(str(group.args[0]) for group in groups if group)
        rank = {item: -sizes[str(group.args[0])] if group else 0 for item, group in zip(items, groups, strict=True)}
        items.sort(key=rank.__getitem__)


def _group(item: pytest.Item) -> str:
    module = item.path.stem
    if item.path.parent.name == "interop":
        return "the original"  # which is installed once
    if item.path.parent.name == "types":
        return "mypy"  # whose cache is filled once
    if module == "test_docs" and (call := getattr(item, "callspec", None)) and "block" in call.params:
        return f"page {call.params['block'].page}"
    shared = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009, pytest has no other name for it
    return module if any(fixture.scope == "module" for fixtures in shared for fixture in fixtures) else ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["tally"] = session.config.stash[_TALLY].as_json()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of several has ended: its counts join the others."""
    for proof, counts in getattr(node, "workeroutput", {}).get("tally", {}).items():
        node.config.stash[_TALLY].add(proof, **counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash[_TALLY]
    if tally.rows and (tally.full or config.getoption("verbose") > 0):
        terminalreporter.section("proofs")
        for line in tally.table():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def torture(request: pytest.FixtureRequest) -> Tally:
    """How long a proof runs here, and where it counts what it did."""
    return request.config.stash[_TALLY]


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test in which a call of this package blocks the event loop."""
    with blockbuster_ctx("deltaglider_async") as detector:
        _allow_third_parties(detector)
        yield detector


def _allow_third_parties(detector: BlockBuster) -> None:
    """Blocking that happens below our calls, once per process, in code that offers no other way."""
    # Modules that boto3 imports when the first client is made, some of which look at the current folder.
    detector.functions["os.getcwd"].can_block_in("boto3/utils.py", {"import_module"})
    # It has a thread and a loop of its own, so that the caller's does not block.
    for function in detector.functions.values():
        function.can_block_in("deltaglider_async/session.py", {"read_everything"})
        # Imports Rich for the first record that `dg` shows.
        function.can_block_in("deltaglider_async/cli/logs.py", {"emit"})


@pytest.fixture(autouse=True)
def aws_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An environment from which no real account can be reached, and in which no `DG_*` variable is set.

    A client made without `endpoint_url` finds a port where nobody listens.
    """
    for name in os.environ:
        # pytest-xdist gives its processes a size of the screen, which programs believe more than their terminal.
        if name.startswith(("AWS_", "DG_")) or name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name)
    nothing = _empty_folder(tmp_path_factory)
    settings = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(nothing / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing / "credentials"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "XDG_CACHE_HOME": str(nothing / "cache"),
        "XDG_STATE_HOME": str(nothing / "state"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def _empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "home"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The beginning of command lines that go on with `dg` or `python`: processes for which all is imported already."""
    with serving(tmp_path_factory.getbasetemp()) as command:
        yield command


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 server (moto) that the whole run shares. It ignores some conditions, as real ones do."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(local_s3()) as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="session")
def s3(s3_endpoint: str) -> Iterator[S3Client]:
    """botocore's own, blocking client: what other tools see and write. Not for use inside a running loop."""
    client = Session().create_client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(proxies={}),
    )
    with closing(client):
        yield cast("S3Client", client)


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """Name of a new, empty bucket of this test's own."""
    name = f"test-{secrets.token_hex(8)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def by_xdelta3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every decode is a process, as if every delta had many instructions."""
    monkeypatch.setattr("deltaglider_async.codec.unaided.few", lambda *_: False)
