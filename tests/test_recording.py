"""The README's moving picture is of the commands that `make recording` runs, and shows them to their ends."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from tools.recording import COMMANDS, PICTURE, Recording, drawn

SVG = "{http://www.w3.org/2000/svg}"


def lines_of(group: ElementTree.Element) -> list[str]:
    """What a picture shows, line by line."""
    lines: dict[int, list[tuple[float, str]]] = {}
    for text in group.iter(f"{SVG}text"):
        lines.setdefault(int(text.attrib["y"]), []).append((float(text.attrib["x"]), text.text or ""))
    return ["".join(run for _, run in sorted(runs)) for _, runs in sorted(lines.items())]


def test_the_picture_shows_each_command_at_work_and_its_end() -> None:
    pictures = [lines_of(group) for group in ElementTree.parse(PICTURE).getroot().iter(f"{SVG}g")]  # noqa: S314, ours
    for command in COMMANDS:
        assert any(any(line.strip() == f"$ {command}" for line in picture) for picture in pictures), command
    assert any("encoding" in line for picture in pictures for line in picture)
    assert any("saved" in line for line in pictures[-1])


def test_what_a_terminal_shows_is_drawn_as_it_is(tmp_path: Path) -> None:
    recording = Recording()
    recording.run("dg --version", tmp_path, {"PATH": "/nowhere"})
    first, *_, last = ElementTree.fromstring(drawn(recording.pictures)).iter(f"{SVG}g")  # noqa: S314, ours
    assert lines_of(first) == ["$ dg --version"]
    assert lines_of(last)[1].startswith("deltaglider-async ")
    assert first.attrib["visibility"] == "hidden"
    assert "visibility" not in last.attrib


def test_a_command_that_fails_ends_the_recording(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No such option"):
        Recording().run("dg ls --no-such-option", tmp_path, {"PATH": "/nowhere"})
