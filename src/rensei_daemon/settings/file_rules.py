"""What the keys of a session's files require of each other.

Like `contradictions`, these rules check the tree; a value of the wrong type is left to the
model.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rensei_daemon.core.credential import is_forbidden
from rensei_daemon.core.file_content import FileFormat, is_key
from rensei_daemon.core.rename import rename
from rensei_daemon.errors import DeliveryError
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, dotted

Tree = Mapping[str, Any]


class FileKeys(NamedTuple):
    """A file of a session, as it is written in the settings."""

    session_id: str
    where: KeyPath
    """The key of its path."""
    path: str
    is_directory: bool


def is_usable(text: str) -> bool:
    """Whether the system can be asked for a file or a group of this name."""
    return bool(text) and "\0" not in text


def files_of(sessions: Sequence[Tree]) -> Iterator[FileKeys]:
    """Return every file that the settings name, in their order.

    A path that no file can have is left to the model.
    """
    for index, session in enumerate(sessions):
        at: KeyPath = ("credentials", "sessions", index)
        found: list[tuple[KeyPath, object, bool]] = [
            ((*at, "env_file"), session.get("env_file"), False)
        ]
        for where, file in tables_of(session, at):
            is_directory = file.get("format") == FileFormat.DIR
            found.append(((*where, "path"), file.get("path"), is_directory))
        for key, path, is_directory in found:
            if isinstance(path, str) and is_usable(path):
                yield FileKeys(str(session.get("id")), key, path, is_directory)


def tables_of(session: Tree, at: KeyPath) -> Iterator[tuple[KeyPath, Tree]]:
    """Return the tables of a session's files; what is no table is left out."""
    files = session.get("files")
    if isinstance(files, (list, tuple)):
        for number, file in enumerate(files):
            if isinstance(file, Mapping):
                yield (*at, "files", number), file


def file_problems(sessions: Sequence[Tree]) -> Iterator[ValidationProblem]:
    """Return a problem for each key of a file that another one does not allow."""
    for index, session in enumerate(sessions):
        at: KeyPath = ("credentials", "sessions", index)
        files = list(tables_of(session, at))
        if files and session.get("on_rotate") and not session.get("env_file"):
            where = (*at, "on_rotate")
            yield ValidationProblem(
                where,
                f"{dotted(where)} runs after env_file, and there is none; put it into "
                "the [[credentials.sessions.files]] that it waits for",
            )
        for where, file in files:
            yield from _about_names(where, file)


def _about_names(where: KeyPath, file: Tree) -> Iterator[ValidationProblem]:
    format_, names, renamed = _parts(file)
    if format_ is None:
        return
    for number, name in enumerate(names):
        if is_forbidden(name):
            yield _problem((*where, "names", number), "no credential has such a name")
    for name, new in renamed.items():
        key = (*where, "rename", name)
        if names and name not in names:
            yield _problem(key, "this name is not among the names of the file")
        if not is_key(new, format_):
            yield _problem(key, f'a file of format "{format_}" can have no such name')
    try:
        rename(dict.fromkeys(names or renamed), renamed)
    except DeliveryError as error:
        yield _problem((*where, "rename"), str(error))


def _parts(file: Tree) -> tuple[FileFormat | None, list[str], dict[str, str]]:
    """Return format, names and new names; no format if one is of the wrong type."""
    format_, names = file.get("format", FileFormat.ENV), file.get("names", ())
    renamed = file.get("rename", {})
    if (
        format_ not in list(FileFormat)
        or not isinstance(names, (list, tuple))
        or not isinstance(renamed, Mapping)
        or not all(isinstance(text, str) for text in (*names, *renamed.values()))
    ):
        return None, [], {}
    return FileFormat(format_), list(names), dict(renamed)


def _problem(where: KeyPath, what: str) -> ValidationProblem:
    return ValidationProblem(where, f"{dotted(where)}: {what}")
