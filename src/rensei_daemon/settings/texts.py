"""Texts that cannot be used whatever the keys mean, and how problems are listed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rensei_daemon.core.toml_scanner import BYTE_ORDER_MARK
from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.settings.toml_parsing import read_toml

_MOST_PROBLEMS = 50


def is_blank(text: str) -> bool:
    """Whether a text sets nothing, as a truncated or emptied file does."""
    lines = text.removeprefix(BYTE_ORDER_MARK).splitlines()
    return all(not line.strip() or line.lstrip().startswith("#") for line in lines)


def refuse_blank(text: str, *, path: Path) -> None:
    """Raise `SettingsError` for a text that sets nothing.

    All keys have defaults, but the file was more likely emptied by accident than on
    purpose.
    """
    if is_blank(text):
        problem = Problem(
            message="the file is empty",
            hint="write it again, or begin with config.example.toml",
            file=str(path),
            line=1,
            column=1,
        )
        hint = f"check it with: rensei-daemon config check {shlex.quote(str(path))}"
        raise settings_error([problem], hint=hint)


def parse(text: str, *, path: Path) -> dict[str, Any]:
    """Return the tree of a TOML text; raise `SettingsError` with the error position."""
    file = read_toml(text, path)
    if file.problems or file.tree is None:
        hint = f"check it with: rensei-daemon config check {shlex.quote(str(path))}"
        raise settings_error(file.problems, hint=hint)
    return file.tree


def settings_error(problems: Sequence[Problem], *, hint: str = "") -> SettingsError:
    """Return the error that lists these problems, the first fifty of them."""
    lines = [str(problem) for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"and {len(problems) - _MOST_PROBLEMS} more problems")
    return SettingsError("\n".join(lines), hint=hint, problems=problems)
