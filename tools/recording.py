"""Records `dg` at work, as an animated picture for the README: `make recording`.

Real commands run on a terminal of their own against a local S3 server; what the terminal shows is kept whenever it
changes, and becomes docs/recording.svg: one group for each picture, shown in turn by CSS, so that it needs no script.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pyte
from botocore.session import Session

from deltaglider_async.cli import releases
from deltaglider_async.cli.local_server import local_s3

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "recording.svg"
COLUMNS, ROWS = 100, 22
#: Pixels of one character, and around all of them.
WIDTH, HEIGHT, MARGIN = 8.4, 19, 16
#: Seconds that a picture is shown at least, so that there are not more than an eye sees; and the last of a command.
SHORTEST, PAUSE = 0.3, 3.0
#: Slow enough to be watched.
PACE = "12MB/s"
COMMANDS = (
    f"dg cp -r app s3://releases/app/ --max-bandwidth {PACE}",
    "dg stats releases --detailed",
    f"dg migrate s3://vendor/app/ s3://releases/vendor/ --yes --max-bandwidth {PACE}",
)
INK = {
    "default": "#d7dce2", "black": "#6b7480", "red": "#f2777a", "green": "#8fcf6f", "brown": "#e6c062",
    "blue": "#78a9f0", "magenta": "#cf8fe6", "cyan": "#63cdcd", "white": "#f0f3f6",
    "brightblack": "#808a96", "brightred": "#ff8f8f", "brightgreen": "#a8e08a", "brightbrown": "#ffd97a",
    "brightblue": "#98c1ff", "brightmagenta": "#e6aaff", "brightcyan": "#84e6e6", "brightwhite": "#ffffff",
}  # fmt: skip
Row = tuple[tuple[int, str, str, bool], ...]
"""Runs of one colour: column, text, colour, whether bold."""


@dataclass
class Recording:
    """A terminal, and its pictures with the seconds for which each is shown."""

    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(COLUMNS, ROWS))
    pictures: list[tuple[list[Row], float]] = field(default_factory=list)

    def show(self, seconds: float) -> None:
        picture = [_runs(self.screen.buffer[row]) for row in range(ROWS)]
        if self.pictures and self.pictures[-1][0] == picture:
            picture, before = self.pictures.pop()
            seconds += before
        self.pictures.append((picture, seconds))

    def run(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        """Type a command, and watch it to its end. Raises `SystemExit` if it fails."""
        stream = pyte.ByteStream(self.screen)
        stream.feed(b"\x1b[1;32m$\x1b[0m ")
        for typed in range(0, len(command), 12):
            stream.feed(command[typed : typed + 12].encode())
            self.show(SHORTEST)
        stream.feed(b"\r\n")
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        argv = [sys.executable, "-m", "deltaglider_async.cli", *command.split()[1:]]
        with subprocess.Popen(  # noqa: S603, the commands are those above
            argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
        ) as process:
            os.close(theirs)
            for chunk, seconds in _output(ours):
                if chunk:
                    stream.feed(chunk)
                if seconds:
                    self.show(seconds)
        os.close(ours)
        stream.feed(b"\r\n")
        self.show(PAUSE)
        if process.returncode:
            raise SystemExit("\n".join(row.rstrip() for row in self.screen.display).rstrip())


def _output(line: int) -> Iterator[tuple[bytes, float]]:
    """What a program writes until it closes its terminal, and, now and then, how many seconds have passed."""
    shown = time.monotonic()
    while True:
        readable, _, _ = select.select([line], [], [], SHORTEST)
        chunk = b""
        if readable:
            try:
                chunk = os.read(line, 65536)
            except OSError:  # Linux says so when the other side is closed
                return
        passed = time.monotonic() - shown
        yield chunk, passed if passed >= SHORTEST else 0
        if passed >= SHORTEST:
            shown = time.monotonic()


def _runs(row: dict[int, pyte.screens.Char]) -> Row:
    runs: list[tuple[int, str, str, bool]] = []
    for column in range(COLUMNS):
        character = row[column]
        colour = character.fg if character.fg in INK else f"#{character.fg}"
        style = (INK.get(colour, colour), character.bold)
        if runs and runs[-1][2:] == style:
            start, text, *_ = runs.pop()
            runs.append((start, text + character.data, *style))
        else:
            runs.append((column, character.data, *style))
    return tuple((column, text.rstrip(), colour, bold) for column, text, colour, bold in runs if text.strip())


def drawn(pictures: list[tuple[list[Row], float]]) -> str:
    """The pictures as one SVG that shows them in turn."""
    total = sum(seconds for _, seconds in pictures)
    width, height = COLUMNS * WIDTH + 2 * MARGIN, ROWS * HEIGHT + 2 * MARGIN
    styles, groups, begin = [], [], 0.0
    for number, (rows, seconds) in enumerate(pictures):
        start, stop = 100 * begin / total, 100 * (begin + seconds) / total
        begin += seconds
        hidden = f"0%{{visibility:hidden}}{start:.3f}%{{visibility:visible}}" if start else "0%{visibility:visible}"
        shown = f"{hidden}{stop:.3f}%{{visibility:hidden}}" if number < len(pictures) - 1 else hidden
        last = "hidden" if number < len(pictures) - 1 else "visible"
        styles.append(f"@keyframes k{number}{{{shown}100%{{visibility:{last}}}}}")
        styles.append(f"#p{number}{{animation:k{number} {total:.2f}s step-end infinite}}")
        texts = [
            f'<text x="{MARGIN + column * WIDTH:.1f}" y="{MARGIN + line * HEIGHT + 14}" fill="{colour}"'
            f'{" font-weight=" + chr(34) + "bold" + chr(34) if bold else ""} textLength="{len(text) * WIDTH:.1f}" '
            f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
            for line, row in enumerate(rows)
            for column, text, colour, bold in row
        ]
        # Where nothing moves, as on paper, the last picture is seen.
        visible = "" if number == len(pictures) - 1 else ' visibility="hidden"'
        groups.append(f'<g id="p{number}"{visible}>{"".join(texts)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        'aria-label="dg cp -r, dg stats and dg migrate at work on a terminal">\n'
        "<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"white-space:pre}}{''.join(styles)}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="#1d2229"/>\n' + "\n".join(groups) + "\n</svg>\n"
    )


async def record(kept: Path) -> None:
    """Prepare ten releases and two buckets, run the commands, and write the picture."""
    await asyncio.to_thread(kept.mkdir, exist_ok=True)
    try:
        files = await releases.fetched(kept, lambda done: None)
    except releases.IndexUnreachableError:
        files = await releases.made(kept, lambda done: None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app").mkdir()
        for file in files:
            shutil.copy(file, folder / "app" / file.name.replace("botocore", "app"))
        async with local_s3() as endpoint:
            environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "DG_"))}
            environment |= {
                "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "recording", "AWS_SECRET_ACCESS_KEY": "recording",
                "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": name,
                "TERM": "xterm-256color", "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1",
            }  # fmt: skip
            await asyncio.to_thread(_run_all, endpoint, folder, environment)


def _run_all(endpoint: str, folder: Path, environment: dict[str, str]) -> None:
    s3: Any = Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="recording",
        aws_secret_access_key="recording",  # noqa: S106, the local server takes anything
    )
    for bucket in ("releases", "vendor"):
        s3.create_bucket(Bucket=bucket)
    for file in sorted((folder / "app").iterdir())[:6]:
        s3.put_object(Bucket="vendor", Key=f"app/{file.name}", Body=file.read_bytes())
    recording = Recording()
    for command in COMMANDS:
        recording.run(command, folder, environment)
    PICTURE.write_text(drawn(recording.pictures))
    seconds = sum(each for _, each in recording.pictures)
    print(f"{PICTURE.relative_to(ROOT)}: {len(recording.pictures)} pictures, {seconds:.0f} s")


if __name__ == "__main__":
    asyncio.run(record(ROOT / ".demo"))
