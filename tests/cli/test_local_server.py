from __future__ import annotations

import signal
import sys
from http.client import HTTPConnection
from pathlib import Path
from subprocess import PIPE, Popen, run

import anyio
import psutil
import pytest
from anyio.to_thread import run_sync

from deltaglider_async.cli import local_server
from deltaglider_async.cli.local_server import LocalServerError, local_s3


def status_of(endpoint_url: str) -> int:
    """What `GET /` answers."""
    connection = HTTPConnection(endpoint_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


async def test_it_answers_inside_and_has_ended_outside() -> None:
    before = psutil.Process().children()
    async with local_s3() as endpoint_url:
        assert await run_sync(status_of, endpoint_url) == 200
        (server,) = [child for child in psutil.Process().children() if child not in before]
    assert not server.is_running()
    with pytest.raises(ConnectionRefusedError):
        await run_sync(status_of, endpoint_url)


async def test_it_has_ended_after_a_cancellation() -> None:
    before = psutil.Process().children()
    with anyio.CancelScope() as scope:
        async with local_s3():
            scope.cancel()
            await anyio.sleep_forever()
    assert psutil.Process().children() == before


def test_it_ends_when_its_parent_is_killed() -> None:
    holder = """
import anyio, sys
from deltaglider_async.cli.local_server import local_s3

async def main():
    async with local_s3():
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""
    with Popen([sys.executable, "-c", holder], stdout=PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (server,) = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
    server.wait(timeout=20)


def test_it_does_not_end_by_a_ctrl_c_that_was_meant_for_its_parent() -> None:
    command = [sys.executable, "-m", local_server.__name__]
    with Popen(command, stdin=PIPE, stdout=PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert status_of(f"http://127.0.0.1:{port}") == 200
        server.stdin.close()
    assert server.returncode == 0


def test_it_says_what_to_install_where_the_extra_is_missing(tmp_path: Path) -> None:
    (tmp_path / "flask_cors.py").write_text("raise ModuleNotFoundError(name='flask_cors')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from {local_server.__name__} import _serve; _serve()"
    result = run([sys.executable, "-c", code], stdin=PIPE, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.endswith("pip install 'deltaglider-async[demo]'\n")


async def test_what_the_server_said_is_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "flask_cors.py").write_text("raise ModuleNotFoundError(name='flask_cors')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LocalServerError, match=r"pip install 'deltaglider-async\[demo\]'"):
        async with local_s3():
            pass
