"""Finds sessions that have the same env file, however its path is spelled."""

from collections.abc import Iterator
from pathlib import Path

from rensei_daemon.disk.directories import Entry, directory_entry
from rensei_daemon.settings.contradictions import Tree, sessions_in
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, dotted
from rensei_daemon.settings.toml_positions import Positions


def shared_files(tree: Tree, text: str, runtime: Path) -> Iterator[ValidationProblem]:
    """Return a problem for each file that an earlier session has; it names both lines.

    `text` is the file's, to find the other line; relative paths start at `runtime`.
    """
    first: dict[Entry, tuple[KeyPath, str]] = {}
    for index, session in enumerate(sessions_in(tree)):
        file = session.get("env_file")
        if not isinstance(file, str) or not file:
            continue
        where: KeyPath = ("credentials", "sessions", index, "env_file")
        entry = directory_entry(runtime / file)
        if entry not in first:
            first[entry] = where, str(session.get("id"))
            continue
        other, owner = first[entry]
        line, _ = Positions(text).find(other)
        yield ValidationProblem(
            where,
            f'{dotted(where)}: session "{owner}" has the same file, on line {line}',
            "give each session a file of its own",
        )
