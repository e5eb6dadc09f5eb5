"""Render new values as TOML: on one line, as dotted keys, as sections with headers.

tomlkit renders numbers and dates. It is not used for strings: it leaves most invisible
characters as they are, and needs 0.4 s for 60,000 characters with a quote.
"""

import importlib
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from rensei_daemon.core.edit import Path
from rensei_daemon.core.escaping import toml_string

_BARE = re.compile("[A-Za-z0-9_-]+")


def render_key(path: Path) -> str:
    """Return a key, dotted if it has several parts, quoted only where needed."""
    return ".".join(part if _BARE.fullmatch(part) else toml_string(part) for part in path)


def render(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        members = [f"{render_key((key,))} = {render(item)}" for key, item in value.items()]
        return f"{{ {', '.join(members)} }}" if members else "{}"
    if isinstance(value, list):
        return f"[{', '.join(render(item) for item in value)}]"
    if isinstance(value, str):
        return toml_string(value)
    return str(_tomlkit().item(value).as_string())


def _tomlkit() -> ModuleType:
    """Import tomlkit on the first edit: an idle daemon is 1 MB smaller without it."""
    return importlib.import_module("tomlkit")


def is_inline(path: Path) -> bool:
    """Whether a new table at this path is written on one line: a project, a cell."""
    return (path[0] == "projects" and len(path) == 2) or (
        path[0] == "model_access" and len(path) > 3 and path[-3] == "matrix"
    )


def dotted_lines(path: Path, value: Any, *, depth: int = 0) -> Iterator[tuple[Path, Any]]:
    """Return a value as dotted keys; tables down to `depth` are never inline."""
    is_leaf = is_inline(path) and depth <= 0
    if isinstance(value, Mapping) and value and not is_leaf:
        for key, item in value.items():
            yield from dotted_lines((*path, key), item, depth=depth - 1)
    else:
        yield path, value


def section(path: Path, table: Mapping[str, Any]) -> list[str]:
    """Return a table with headers: its own keys, then a section per sub-table."""
    keys = [
        f"{render_key((key,))} = {render(value)}"
        for key, value in table.items()
        if not isinstance(value, Mapping) or is_inline((*path, key))
    ]
    sections = [
        section((*path, key), value)
        for key, value in table.items()
        if isinstance(value, Mapping) and not is_inline((*path, key))
    ]
    own = [[f"[{render_key(path)}]", *keys]] if keys or not sections else []
    lines: list[str] = []
    for part in own + sections:
        lines += ["", *part] if lines else part
    return lines
