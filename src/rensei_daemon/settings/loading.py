"""Text in, settings out; or an error with one line a problem, each saying where.

It opens no file: whoever read the text says what the file is called. Command line over
environment over file over default.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings.sources import InitSettingsSource

from rensei_daemon.core.toml_scanner import BYTE_ORDER_MARK
from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.settings import toml_positions
from rensei_daemon.settings.contradictions import contradictions
from rensei_daemon.settings.layers import (
    Tree,
    anchored,
    read_environment,
    variable,
)
from rensei_daemon.settings.model import Settings
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, validation_problems
from rensei_daemon.settings.shared_files import shared_files
from rensei_daemon.settings.toml_parsing import parsed_toml, read_toml

_MOST_PROBLEMS = 50
_NOTHING: Mapping[str, Any] = {}


Check = Callable[[Tree], Iterable[ValidationProblem]]
"""Finds fault with a tree beyond what the model does."""


def nothing_more(_: Tree) -> Iterable[ValidationProblem]:
    """Find no fault."""
    return ()


def load(
    text: str,
    *,
    path: Path,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = _NOTHING,
    runtime: Path | None = None,
    check: Check = nothing_more,
    tree: dict[str, Any] | None = None,
) -> Settings:
    """Return the settings in force for a config text.

    `tree` is what the text means, if it has been parsed already.
    `path` names the file in problems and anchors relative paths; `overrides` is shaped
    like the file and comes from the command line. With `runtime`, the directory that
    relative env files are in, no two of them may be one. `check` finds fault with what
    all of them set. Raises `SettingsError`, which names every problem at once.
    """
    file = read_toml(text, path) if tree is None else parsed_toml(text, tree)
    environment = read_environment(environ)
    if file.tree is None:
        raise _refusal([*environment.problems, *file.problems], (), path)
    layers: dict[str, Tree] = {
        "command line": overrides,
        "environment": environment.tree,
        "file": file.tree,
    }
    refused: list[ValidationProblem] = []
    settings = None
    try:
        settings = _merge([anchored(layer, path.parent) for layer in layers.values()])
    except ValidationError as error:
        refused += validation_problems(error, with_missing=file.is_whole)
    if file.is_whole:
        together = _overlaid(layers)
        refused += (*contradictions(together), *check(together))
        if runtime is not None:
            refused += shared_files(together, text, runtime)
    placed = _placed(refused, layers, file.rest, path)
    problems = [*environment.problems, *file.problems, *placed]
    if problems or settings is None:
        raise _refusal(problems, refused, path)
    return settings


def _overlaid(layers: Mapping[str, Tree]) -> Tree:
    """Return what the layers set together, the first one on top."""
    together: dict[str, Any] = {}
    for layer in reversed(list(layers.values())):
        for section, keys in layer.items():
            below = together.get(section)
            if isinstance(keys, Mapping) and isinstance(below, Mapping):
                keys = {**below, **keys}
            together[section] = keys
    return together


def _refusal(
    problems: Sequence[Problem], refused: Sequence[ValidationProblem], path: Path
) -> SettingsError:
    """Return the error; problems that all have the same remedy tell that."""
    remedies = {told.remedy for told in refused}
    if len(problems) == len(refused) and len(remedies) == 1 and all(remedies):
        without_hints = _error([replace(problem, hint="") for problem in problems])
        return SettingsError(str(without_hints), hint=remedies.pop(), problems=problems)
    return _error(problems, hint=f"check it with: rensei-daemon config check {path}")


def check_settings(
    tree: Mapping[str, Any],
    *,
    folder: Path = Path(),
    environ: Mapping[str, str] = _NOTHING,
    overrides: Mapping[str, object] = _NOTHING,
) -> Settings:
    """Return the settings in force for a parsed text; relative paths start at `folder`.

    Raises `SettingsError`, which names key paths instead of lines.
    """
    layers: dict[str, Tree] = {
        "command line": overrides,
        "environment": read_environment(environ).tree,
        "file": tree,
    }
    refused: list[ValidationProblem] = []
    settings = None
    try:
        settings = _merge([anchored(layer, folder) for layer in layers.values()])
    except ValidationError as error:
        refused += validation_problems(error)
    refused += contradictions(_overlaid(layers))
    if refused or settings is None:
        raise _error([Problem(message=told.message, hint=told.hint) for told in refused])
    return settings


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


def parse(text: str, *, path: Path) -> dict[str, Any]:
    """Return the tree of a TOML text; raise `SettingsError` saying where it breaks."""
    file = read_toml(text, path)
    if file.problems or file.tree is None:
        hint = f"check it with: rensei-daemon config check {path}"
        raise _error(file.problems, hint=hint)
    return file.tree


def _merge(layers: Sequence[dict[str, Any]]) -> Settings:
    sources = tuple(InitSettingsSource(Settings, layer) for layer in layers)
    return Settings(_build_sources=(sources, {}))


def _placed(
    refused: Sequence[ValidationProblem],
    layers: Mapping[str, Tree],
    text: str,
    path: Path,
) -> list[Problem]:
    """Say where each refused key was set, those of the file in the file's order."""
    if not refused:
        return []
    written = toml_positions.Positions(text)
    outside: list[Problem] = []
    inside: list[tuple[toml_positions.Position, ValidationProblem]] = []
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
            hint=told.hint or told.remedy,
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
