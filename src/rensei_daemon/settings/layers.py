"""Where settings come from: the command line, the environment, the file, the defaults.

The first of these that sets a key wins. This module reads `RENSEI_DAEMON_SECTION__KEY`
variables into a tree shaped like the file's, and makes relative paths start at the
directory of the config. `projects`, `pool` and `model_access` have no variables: mutations
edit them in the file, and a variable would hide every edit.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from rensei_daemon.core.spelling import nearest
from rensei_daemon.errors import Problem
from rensei_daemon.fast_dataclass import dataclass, field, fields_of
from rensei_daemon.settings.values import Settings

PREFIX = "RENSEI_DAEMON_"
Tree = Mapping[str, Any]

_PATH_KEYS = (
    ("platform", "api_key_file"),
    ("platform", "ca_file"),
    ("platform", "client_cert_file"),
    ("platform", "client_key_file"),
    ("log", "file"),
    ("paths", "state"),
    ("paths", "runtime"),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment sets, and its problems."""

    tree: Tree
    problems: tuple[Problem, ...] = field(default=())


def variable(section: str, key: str) -> str:
    """Return the name of the variable that sets a key."""
    return f"{PREFIX}{section}__{key}".upper()


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) is tuple


_VARIABLES = {
    variable(section, key): (section, key, _is_list(annotation))
    for section, kind in Settings.__annotations__.items()
    if fields_of(kind) is not None
    for key, annotation in kind.__annotations__.items()
}
"""All variables: section, key, and whether the value is a JSON list."""

_WITH_ONE_UNDERSCORE = {name.replace("__", "_"): name for name in _VARIABLES}
"""All variables by the name with one underscore, which people write by mistake."""


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Return what the `RENSEI_DAEMON_*__*` variables set; an empty one sets nothing.

    A variable with one underscore that spells a known key is a problem, because it sets
    nothing. Other names without `__` are ignored.
    """
    tree: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX):
            continue
        if meant := _WITH_ONE_UNDERSCORE.get(name.upper()):
            hint = f'did you mean "{meant}", with two underscores?'
            problems.append(Problem(key=name, message="unknown variable", hint=hint))
            continue
        if "__" not in name[len(PREFIX) :]:
            continue
        if name.upper() not in _VARIABLES:
            hint = _nearest_variable(name)
            problems.append(Problem(key=name, message="unknown variable", hint=hint))
            continue
        section, key, is_list = _VARIABLES[name.upper()]
        if not text:
            continue
        try:
            tree.setdefault(section, {})[key] = json.loads(text) if is_list else text
        except (ValueError, RecursionError):
            what = 'it must be a JSON list, like ["a", "b"]'
            problems.append(Problem(key=name, message=what))
    return Environment(tree, tuple(problems))


def _nearest_variable(name: str) -> str:
    # Their common prefix would make any two names look alike.
    words = {known.removeprefix(PREFIX): known for known in _VARIABLES}
    hint = nearest(name.removeprefix(PREFIX), words)
    return hint.replace('"', f'"{PREFIX}', 1)


def overlaid(layers: Iterable[Tree]) -> dict[str, Any]:
    """Return what layers set together; the first layer wins."""
    together: dict[str, Any] = {}
    for layer in reversed([*layers]):
        for section, keys in layer.items():
            below = together.get(section)
            if isinstance(keys, Mapping) and isinstance(below, Mapping):
                keys = {**below, **keys}
            together[section] = keys
    return together


def anchored(tree: Tree, folder: Path) -> dict[str, Any]:
    """Return the tree with relative paths that start at `folder`."""
    result = dict(tree)
    for section, key in _PATH_KEYS:
        table = result.get(section)
        if isinstance(table, Mapping) and isinstance(table.get(key), str):
            result[section] = {**table, key: str(folder / table[key])}
    return result
