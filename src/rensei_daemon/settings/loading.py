"""Text in, settings out; or an error with one line a problem, each saying where.

It opens no file: whoever read the text says what the file is called. Command line over
environment over file over default.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings.sources import InitSettingsSource

from rensei_daemon.core.toml_lines import BYTE_ORDER_MARK
from rensei_daemon.disk.groups import group_id
from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.settings import positions
from rensei_daemon.settings.layers import (
    Tree,
    anchored,
    read_environment,
    variable,
)
from rensei_daemon.settings.model import ConfigTree, Settings
from rensei_daemon.settings.problems import KeyPath, Refusal, dotted, refusals
from rensei_daemon.settings.shared_files import shared_files

_PARSER_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_MOST_PROBLEMS = 50
_NO_OVERRIDES: Mapping[str, object] = {}


def load(
    text: str,
    *,
    path: Path,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = _NO_OVERRIDES,
    runtime: Path | None = None,
) -> Settings:
    """Return the settings in force for a config text.

    `path` names the file in problems and anchors relative paths; `overrides` is shaped
    like the file and comes from the command line. With `runtime`, the directory that
    relative env files are in, no two of them may be one. Raises `SettingsError`.
    """
    tree = parse(text, path=path)
    environment = read_environment(environ)
    layers: dict[str, Tree] = {
        "command line": overrides,
        "environment": environment.tree,
        "file": tree,
    }
    problems = list(environment.problems)
    try:
        settings = _merge([anchored(layer, path.parent) for layer in layers.values()])
        if runtime is not None:
            shared = list(shared_files(settings, text, runtime))
            problems += _placed(shared, layers, text, path)
    except ValidationError as error:
        problems += _placed(list(refusals(error)), layers, text, path)
    if problems:
        raise _error(problems, hint=f"check it with: rensei-daemon config check {path}")
    return settings


def accept(tree: Mapping[str, Any]) -> None:
    """Check an already parsed file, as it would be without any environment.

    Raises `SettingsError`, which names key paths instead of lines.
    """
    try:
        ConfigTree.model_validate(tree)
    except ValidationError as error:
        found = [Problem(message=told.message, hint=told.hint) for told in refusals(error)]
        raise _error(found) from None


def is_blank(text: str) -> bool:
    """Tell whether a text sets nothing: a truncated or emptied file, not a choice."""
    lines = text.removeprefix(BYTE_ORDER_MARK).splitlines()
    return all(not line.strip() or line.lstrip().startswith("#") for line in lines)


def refuse_blank(text: str, *, path: Path) -> None:
    """Raise `SettingsError` for a text that sets nothing.

    Emptied is more likely than meant: every key that is left out has a default.
    """
    if is_blank(text):
        hint = "write it again, or begin with config.example.toml"
        raise SettingsError(f"{path}: the file is empty", hint=hint)


def refuse_placeholder(settings: Settings, text: str, *, path: Path) -> None:
    """Raise `SettingsError` while platform.url leads nowhere, as in the example.

    The API key goes to a platform that the operator has chosen, and to no other.
    """
    if not settings.platform.is_placeholder:
        return
    where = ("platform", "url")
    line, column = positions.Positions(text).find(where)
    problem = Problem(
        message="platform.url is not set",
        key=dotted(where),
        file=str(path),
        line=line,
        column=column,
    )
    hint = "set platform.url to the address of your platform"
    raise SettingsError(problems=[problem], hint=hint)


def refuse_groups(settings: Settings, text: str, *, path: Path) -> None:
    """Raise `SettingsError` for a group that this user could not give a file to."""
    credentials = settings.credentials
    named: list[tuple[KeyPath, str | None]] = [
        (("control", "group"), settings.control.group),
        (("credentials", "group"), credentials.group),
    ]
    for index, session in enumerate(credentials.sessions):
        named.append((("credentials", "sessions", index, "group"), session.group))
    for where, group in named:
        if group is None:
            continue
        try:
            group_id(group)
        except SettingsError as error:
            line, column = positions.Positions(text).find(where)
            problem = Problem(
                message=str(error),
                key=dotted(where),
                file=str(path),
                line=line,
                column=column,
            )
            raise SettingsError(problems=[problem], hint=error.hint) from error


def parse(text: str, *, path: Path) -> dict[str, Any]:
    """Return the tree of a TOML text; raise `SettingsError` saying where it breaks."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = _unreadable(str(error), text, path)
    except RecursionError:
        problem = Problem(file=str(path), message="values are nested too deeply")
    raise _error([problem], hint=f"check it with: rensei-daemon config check {path}")


def _unreadable(message: str, text: str, path: Path) -> Problem:
    at = _PARSER_PLACE.search(message)
    line, column = positions.position_of(text, len(text))
    if at is not None and at.group(1):
        line, column = int(at.group(1)), int(at.group(2))
    what = _PARSER_PLACE.sub("", message)
    what = what[:1].lower() + what[1:]
    return Problem(file=str(path), line=line, column=column, message=what)


def _merge(layers: Sequence[dict[str, Any]]) -> Settings:
    sources = tuple(InitSettingsSource(Settings, layer) for layer in layers)
    return Settings(_build_sources=(sources, {}))


def _placed(
    refused: Sequence[Refusal],
    layers: Mapping[str, Tree],
    text: str,
    path: Path,
) -> list[Problem]:
    """Say where each refused key was set, those of the file in the file's order."""
    written = positions.Positions(text)
    outside: list[Problem] = []
    inside: list[tuple[positions.Position, Refusal]] = []
    for told in refused:
        where = told.path
        source = next((name for name in layers if _holds(layers[name], where)), "file")
        if source == "environment" and len(where) > 1:
            name = variable(str(where[0]), str(where[1]))
            outside.append(Problem(key=name, message=told.message, hint=told.hint))
        elif source == "command line":
            outside.append(Problem(key=source, message=told.message, hint=told.hint))
        else:
            inside.append((written.find(where), told))
    inside.sort(key=lambda found: (found[0], found[1].message))
    return outside + [
        Problem(
            message=told.message,
            hint=told.hint,
            key=told.key,
            file=str(path),
            line=line,
            column=column,
        )
        for (line, column), told in inside
    ]


def _holds(tree: Any, where: KeyPath) -> bool:
    for part in where:
        try:
            tree = tree[part]
        except (LookupError, TypeError):
            return False
    return True


def _error(problems: Sequence[Problem], *, hint: str = "") -> SettingsError:
    lines = [str(problem) for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"and {len(problems) - _MOST_PROBLEMS} more problems")
    return SettingsError("\n".join(lines), hint=hint, problems=problems)
