"""The script in worker-reload.service, with a systemctl of our own on its PATH."""

import os
import re
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "packaging/systemd/examples/worker-reload.service"
# Notes what it is asked for. The state is in a file; `during` is run with a reload.
SYSTEMCTL = """\
#!/bin/sh
case "$1" in
show) cat state ;;
*) echo "$*" >>asked; [ ! -e during ] || { . ./during; rm during; } ;;
esac
"""
RELOAD = "--no-block try-reload-or-restart worker.service"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a running worker's env file."""
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    (tmp_path / "state").write_text("running\n")
    (tmp_path / "env").write_text('TOKEN="1"\n')
    return tmp_path


def look(place: Path) -> list[str]:
    """Run the script once; return all that systemctl was asked for so far."""
    text = UNIT.read_text().replace("\\\n", "").replace("$$", "$")
    found = re.search(r"^ExecStart=/bin/sh -euc '([^']*)' sh ", text, re.MULTILINE)
    assert found is not None
    words = ["/bin/sh", "-euc", found[1], "sh", "env", "worker.service", "told"]
    path = f"{place}:{os.environ['PATH']}"
    subprocess.run(words, cwd=place, env={"PATH": path}, check=True)
    asked = place / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def test_values_are_told_of_once(place: Path) -> None:
    """New ones each time, the same ones never again."""
    assert look(place) == [RELOAD]
    assert look(place) == [RELOAD]
    (place / "env").write_text('TOKEN="2"\n')
    assert look(place) == [RELOAD, RELOAD]


def test_values_that_come_meanwhile_are_told_of_too(place: Path) -> None:
    """Nobody watches the file while the script runs, so it looks again."""
    (place / "during").write_text("echo 'TOKEN=\"2\"' >env\n")
    assert look(place) == [RELOAD, RELOAD]


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_file_nothing_is_touched(place: Path, text: str | None) -> None:
    """It is missing or empty; and what comes back as it was is nothing new."""
    assert look(place) == [RELOAD]
    (place / "env").unlink()
    if text is not None:
        (place / "env").write_text(text)
    assert look(place) == [RELOAD]
    (place / "env").write_text('TOKEN="1"\n')
    assert look(place) == [RELOAD]


def test_a_worker_that_is_about_to_read_the_file_is_left_alone(place: Path) -> None:
    """Its values are noted, so that it is told of newer ones alone."""
    (place / "state").write_text("start-pre\n")
    assert look(place) == []
    (place / "state").write_text("running\n")
    assert look(place) == []
    (place / "env").write_text('TOKEN="2"\n')
    assert look(place) == [RELOAD]
