"""From a text to settings, or to an error with one line for each problem.

This module opens no file. The command line overrides the environment, which overrides the
file, which overrides the defaults.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings.sources import InitSettingsSource

from rensei_daemon.core.toml_scanner import BYTE_ORDER_MARK
from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.settings import toml_positions
from rensei_daemon.settings.contradictions import contradictions
from rensei_daemon.settings.host_checks import shared_files
from rensei_daemon.settings.layers import (
    Tree,
    anchored,
    read_environment,
    variable,
)
from rensei_daemon.settings.model import Settings
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, validation_problems
from rensei_daemon.settings.toml_parsing import parsed_toml, read_toml

_MOST_PROBLEMS = 50
_NOTHING: Mapping[str, Any] = {}


Check = Callable[[Tree], Iterable[ValidationProblem]]
"""Returns problems of a tree that the model does not check."""


def nothing_more(_: Tree) -> Iterable[ValidationProblem]:
    """Return no problems."""
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

    `tree` is the parsed text, if the caller has parsed it. Relative paths start at the
    directory of `path`, which also names the file in problems. `overrides` come from the
    command line and are shaped like the file. Relative env files are in `runtime`; if it is
    given, no two sessions may have the same one. `check` finds problems of all layers
    together. Raises `SettingsError`, which names every problem at once.
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
    settings, refused = _merged(layers, path.parent, with_missing=file.is_whole)
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
    """Return what the layers set together; the first layer wins."""
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
    """Return the error. If all problems have the same remedy, it is the error's hint."""
    remedies = {rejected.remedy for rejected in refused}
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
    settings, refused = _merged(layers, folder)
    refused += contradictions(_overlaid(layers))
    if refused or settings is None:
        raise _error(
            [Problem(message=rejected.message, hint=rejected.hint) for rejected in refused]
        )
    return settings


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
        hint = "write it again, or begin with config.example.toml"
        raise SettingsError(f"{path}: the file is empty", hint=hint)


def parse(text: str, *, path: Path) -> dict[str, Any]:
    """Return the tree of a TOML text; raise `SettingsError` with the error position."""
    file = read_toml(text, path)
    if file.problems or file.tree is None:
        hint = f"check it with: rensei-daemon config check {path}"
        raise _error(file.problems, hint=hint)
    return file.tree


def _merged(
    layers: Mapping[str, Tree], folder: Path, *, with_missing: bool = True
) -> tuple[Settings | None, list[ValidationProblem]]:
    """Return the settings of all layers, or None and the problems."""
    try:
        return _merge([anchored(layer, folder) for layer in layers.values()]), []
    except ValidationError as error:
        return None, list(validation_problems(error, with_missing=with_missing))


def _merge(layers: Sequence[dict[str, Any]]) -> Settings:
    sources = tuple(InitSettingsSource(Settings, layer) for layer in layers)
    return Settings(_build_sources=(sources, {}))


def _placed(
    refused: Sequence[ValidationProblem],
    layers: Mapping[str, Tree],
    text: str,
    path: Path,
) -> list[Problem]:
    """Return the problems, each with the place where its key was set, in file order."""
    if not refused:
        return []
    written = toml_positions.Positions(text)
    outside: list[Problem] = []
    inside: list[tuple[toml_positions.Position, ValidationProblem]] = []
    for rejected in refused:
        if key := _outside_file(layers, rejected.path):
            outside.append(Problem(key=key, message=rejected.message, hint=rejected.hint))
        else:
            inside.append((written.find(rejected.path), rejected))
    inside.sort(key=lambda found: (found[0], found[1].message))
    return outside + [
        Problem(
            message=rejected.message,
            hint=rejected.hint or rejected.remedy,
            key=rejected.key,
            file=str(path),
            line=line,
            column=column,
        )
        for (line, column), rejected in inside
    ]


def _outside_file(layers: Mapping[str, Tree], where: KeyPath) -> str:
    """Return the variable or `command line` that sets a key; empty for the file."""
    source = next((name for name in layers if _holds(layers[name], where)), "file")
    if source == "environment" and len(where) > 1:
        return variable(str(where[0]), str(where[1]))
    return source if source == "command line" else ""


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
