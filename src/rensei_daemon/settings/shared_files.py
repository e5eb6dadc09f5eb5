"""Two sessions whose files are one, however each is spelled."""

from collections.abc import Iterator
from pathlib import Path

from rensei_daemon.disk.places import Entry, directory_entry
from rensei_daemon.settings.model import Settings
from rensei_daemon.settings.positions import Positions
from rensei_daemon.settings.problems import KeyPath, Refusal, dotted


def shared_files(settings: Settings, text: str, runtime: Path) -> Iterator[Refusal]:
    """Return a refusal for each file that an earlier session has; it names both lines.

    `text` is the file's, for the other line; relative paths start at `runtime`.
    """
    first: dict[Entry, tuple[KeyPath, str]] = {}
    for index, session in enumerate(settings.credentials.sessions):
        if session.env_file is None:
            continue
        where: KeyPath = ("credentials", "sessions", index, "env_file")
        entry = directory_entry(runtime / session.env_file)
        if entry not in first:
            first[entry] = where, session.id
            continue
        other, owner = first[entry]
        line, _ = Positions(text).find(other)
        yield Refusal(
            where,
            f'{dotted(where)}: session "{owner}" has the same file, on line {line}',
            "give each session a file of its own",
        )
