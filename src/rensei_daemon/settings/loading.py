"""From a text to settings, or to an error with one line for each problem.

This module opens no file. The command line overrides the environment, which overrides the
file, which overrides the defaults.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.locations import Locations
from rensei_daemon.settings import model, toml_positions
from rensei_daemon.settings.building import build
from rensei_daemon.settings.contradictions import contradictions
from rensei_daemon.settings.host_checks import (
    needed_files,
    shared_directories,
    shared_files,
)
from rensei_daemon.settings.layers import (
    Tree,
    anchored,
    overlaid,
    read_environment,
    variable,
)
from rensei_daemon.settings.model_errors import validation_problems
from rensei_daemon.settings.problems import KeyPath, ValidationProblem
from rensei_daemon.settings.texts import settings_error
from rensei_daemon.settings.toml_parsing import read_toml
from rensei_daemon.settings.values import Settings

if TYPE_CHECKING:
    pass

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
    state: Path | None = None,
    check: Check = nothing_more,
) -> Settings:
    """Return the settings in force for a config text, as `load_model` does."""
    loaded = load_model(
        text,
        path=path,
        environ=environ,
        overrides=overrides,
        runtime=runtime,
        state=state,
        check=check,
    )
    return build(Settings, loaded.model_dump())


def load_model(
    text: str,
    *,
    path: Path,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = _NOTHING,
    runtime: Path | None = None,
    state: Path | None = None,
    check: Check = nothing_more,
) -> model.BaseSettings:
    """Return the settings in force for a config text, as the model has them.

    Relative paths start at the directory of `path`, which also names the file in problems.
    `overrides` come from the command line and are shaped like the file. Relative env files
    are in `runtime`; if it is given, no two sessions may have the same one, nor one that
    the daemon needs, there or in `state`. `check` finds problems of all layers together.
    Raises `SettingsError`, which names every problem at once.
    """
    file = read_toml(text, path)
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
        together = overlaid(layers.values())
        refused += (*contradictions(together), *check(together))
        if runtime is not None:
            refused += shared_directories(state, runtime)
            refused += shared_files(together, text, runtime)
            located = Locations(config=path, state=state or runtime, runtime=runtime)
            refused += needed_files(anchored(together, path.parent), located)
    placed = _placed(refused, layers, file.rest, path)
    problems = [*environment.problems, *file.problems, *placed]
    if problems or settings is None:
        raise _refusal(problems, refused, path)
    return settings


def _refusal(
    problems: Sequence[Problem], refused: Sequence[ValidationProblem], path: Path
) -> SettingsError:
    """Return the error. If all problems have the same remedy, it is the error's hint."""
    remedies = {rejected.remedy for rejected in refused}
    if len(problems) == len(refused) and len(remedies) == 1 and all(remedies):
        without_hints = settings_error([replace(problem, hint="") for problem in problems])
        return SettingsError(str(without_hints), hint=remedies.pop(), problems=problems)
    return settings_error(
        problems, hint=f"check it with: rensei-daemon config check {shlex.quote(str(path))}"
    )


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
    refused += contradictions(overlaid(layers.values()))
    if refused or settings is None:
        raise settings_error(
            [Problem(message=rejected.message, hint=rejected.hint) for rejected in refused]
        )
    return build(Settings, settings.model_dump())


def _merged(
    layers: Mapping[str, Tree], folder: Path, *, with_missing: bool = True
) -> tuple[model.BaseSettings | None, list[ValidationProblem]]:
    """Return the settings of all layers, or None and the problems."""
    try:
        return _merge([anchored(layer, folder) for layer in layers.values()]), []
    except model.ValidationError as error:
        return None, list(validation_problems(error, with_missing=with_missing))


def _merge(layers: Sequence[dict[str, Any]]) -> model.BaseSettings:
    sources = tuple(model.InitSettingsSource(model.Settings, layer) for layer in layers)
    return model.Settings(_build_sources=(sources, {}))


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
