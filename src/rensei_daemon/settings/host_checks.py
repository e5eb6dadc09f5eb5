"""Checks of settings against the host that they are used on."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rensei_daemon.disk.directories import Entry, directory_entry
from rensei_daemon.disk.user_groups import group_id, user_name
from rensei_daemon.errors import SettingsError
from rensei_daemon.locations import Locations, log_files
from rensei_daemon.settings.contradictions import Tree, sessions_in
from rensei_daemon.settings.file_rules import FileKeys, files_of, is_usable, tables_of
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, dotted
from rensei_daemon.settings.toml_positions import Positions
from rensei_daemon.settings.validators import is_placeholder
from rensei_daemon.settings.values import Settings


def host_problems(tree: Tree) -> Iterator[ValidationProblem]:
    """Return the problems that would prevent a daemon of this user from starting."""
    yield from unset_platform(tree)
    for where, group in groups_in(tree):
        try:
            group_id(group)
        except SettingsError as error:
            yield ValidationProblem(where, f"{dotted(where)}: {error}", remedy=error.hint)


def unset_platform(tree: Tree) -> Iterator[ValidationProblem]:
    """Refuse a placeholder as platform.url, such as the one in the example.

    The API key is sent only to a platform that the operator has chosen.
    """
    table = tree.get("platform", {})
    url = table.get("url", "") if isinstance(table, dict) else None
    if isinstance(url, str) and (not url or is_placeholder(url)):
        remedy = "set platform.url to the address of your platform"
        yield ValidationProblem(
            ("platform", "url"), "platform.url is not set", remedy=remedy
        )


def groups_in(tree: Tree) -> Iterator[tuple[KeyPath, str]]:
    """Return every group that the settings name, with its key."""
    places: list[tuple[KeyPath, object]] = [
        ((section, "group"), table.get("group"))
        for section in ("control", "credentials")
        if isinstance(table := tree.get(section), dict)
    ]
    for index, session in enumerate(sessions_in(tree)):
        at: KeyPath = ("credentials", "sessions", index)
        tables = [(at, session), *tables_of(session, at)]
        places += [((*where, "group"), table.get("group")) for where, table in tables]
    for where, group in places:
        if isinstance(group, str) and is_usable(group):
            yield where, group


def shared_files(tree: Tree, text: str, runtime: Path) -> Iterator[ValidationProblem]:
    """Return a problem for each file that an earlier one has; it names both lines.

    A directory has all that is below it. `text` is the file's, to find the other line;
    relative paths start at `runtime`.
    """
    first: dict[Entry, FileKeys] = {}
    files = list(files_of(sessions_in(tree)))
    for file in files:
        other = first.setdefault(directory_entry(runtime / file.path), file)
        if other is not file:
            yield _shared(file, other, "has the same file", text)
    for file in files:
        for parent in (runtime / file.path).parents:
            holder = first.get(directory_entry(parent))
            if holder is not None and holder.is_directory:
                yield _shared(file, holder, "has a directory that it is in", text)


def shared_directories(state: Path | None, runtime: Path) -> Iterator[ValidationProblem]:
    """Return a problem if one directory is to be both: it can have only one mode."""
    if state is not None and directory_entry(state / "x") == directory_entry(runtime / "x"):
        yield ValidationProblem(
            ("paths", "state"),
            "paths.state is also paths.runtime: workers could not reach their files in it, "
            "and the token would survive a reboot",
            remedy="give each a directory of its own",
        )


_NEEDED = (
    ("platform", "api_key_file"),
    ("platform", "ca_file"),
    ("platform", "client_cert_file"),
    ("platform", "client_key_file"),
)


def needed_files(tree: Tree, located: Locations) -> Iterator[ValidationProblem]:
    """Return a problem for each file that the daemon needs itself, and would replace.

    Paths in the tree are absolute, but for those of the files.
    """
    files = list(files_of(sessions_in(tree)))
    needed = {directory_entry(path) for path in _needed(tree, located)} if files else set()
    for file in files:
        if directory_entry(located.runtime / file.path) in needed:
            yield ValidationProblem(
                file.where,
                f"{dotted(file.where)}: the daemon itself needs this file",
                "give the session a file of its own",
            )


def files_in_the_way(settings: Settings, located: Locations) -> Iterator[str]:
    """Return a sentence for each file outside the runtime directory that looks foreign.

    A file that the daemon wrote belongs to its user, as the state directory does, and has
    the mode of the settings.
    """
    owner = _owner(located.state)
    for session in settings.credentials.sessions:
        for file in session.all_files:
            path = located.runtime / file.path
            if file.format == "dir" or path.is_relative_to(located.runtime):
                continue
            with suppress(OSError):
                found = path.lstat()
                wanted = stat.S_IFREG | file.permissions
                if (found.st_mode, found.st_uid) != (wanted, owner):
                    yield (
                        f'session "{session.id}" has a file {path}, which exists, of '
                        f"user {user_name(found.st_uid)} with mode "
                        f"{stat.S_IMODE(found.st_mode):04o}: the daemon replaces it by "
                        "the values"
                    )


def _owner(state: Path) -> int:
    """Return the daemon's user; ours if no daemon has run yet."""
    try:
        return state.stat().st_uid
    except OSError:
        return os.geteuid()


def _needed(tree: Tree, located: Locations) -> Iterator[Path]:
    yield from located.own_files
    if (log := _path(tree, "log", "file")) is not None:
        yield from (log, *log_files(log))
    for section, key in _NEEDED:
        if (path := _path(tree, section, key)) is not None:
            yield path


def _path(tree: Tree, section: str, key: str) -> Path | None:
    table = tree.get(section)
    text = table.get(key) if isinstance(table, dict) else None
    return Path(text) if isinstance(text, str) and is_usable(text) else None


def _shared(file: FileKeys, other: FileKeys, what: str, text: str) -> ValidationProblem:
    line, _ = Positions(text).find(other.where)
    return ValidationProblem(
        file.where,
        f'{dotted(file.where)}: session "{other.session_id}" {what}, on line {line}',
        "give each session a file of its own"
        if file.session_id != other.session_id
        else "give each of its files a path of its own",
    )
