"""What waits for a restart."""

import re
from pathlib import Path

from rensei_daemon.settings.loading import load
from rensei_daemon.settings.restart_required import RESTART_KEYS, needs_restart
from rensei_daemon.settings.values import Settings

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def loaded(text: str) -> Settings:
    """Load a text without any environment."""
    return load(text, path=Path("/c/config.toml"), environ={})


def test_needs_restart() -> None:
    """Keys that were changed and are read at start only are named; others are not."""
    running = loaded('[machine]\nname = "a"\n[log]\nlevel = "info"\n')
    wanted = loaded('[machine]\nname = "b"\n[log]\nlevel = "debug"\nfile = "f"\n')
    assert needs_restart(running, wanted) == ("machine.name", "log.file")
    assert needs_restart(running, running) == ()


def test_the_example_says_so() -> None:
    """The annotated reference marks exactly the keys that wait for a restart."""
    marked: list[str] = []
    section, is_marked = "", False
    for line in EXAMPLE.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section, is_marked = header.group(1), False
        elif key := re.match(r"(?:# )?([a-z_]+) = ", line):
            if is_marked:
                marked.append(f"{section}.{key.group(1)}")
            is_marked = False
        elif section and "(restart)" in line:
            is_marked = True
    assert tuple(marked) == RESTART_KEYS
