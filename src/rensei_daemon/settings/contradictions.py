"""Keys that are valid by themselves and contradict each other.

These rules check the tree before the model is built, so that their problems are reported
together with all others. A value of the wrong type is left to the model.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rensei_daemon.settings.file_rules import file_problems
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, dotted

Tree = Mapping[str, Any]


def contradictions(tree: Tree) -> Iterator[ValidationProblem]:
    """Return a problem for each key that another key does not allow."""
    yield from _halves(tree)
    yield from _repeated_ids(tree)
    yield from file_problems(sessions_in(tree))


def _halves(tree: Tree) -> Iterator[ValidationProblem]:
    platform = _table(tree, "platform")
    keys = ("client_cert_file", "client_key_file")
    for given, missing in (keys, reversed(keys)):
        if given in platform and missing not in platform:
            where = ("platform", given)
            yield ValidationProblem(where, f"{dotted(where)} needs {missing} beside it")


def _repeated_ids(tree: Tree) -> Iterator[ValidationProblem]:
    first: dict[str, KeyPath] = {}
    for index, session in enumerate(sessions_in(tree)):
        session_id = session.get("id")
        if isinstance(session_id, str) and session_id:
            where = ("credentials", "sessions", index, "id")
            earlier = first.setdefault(session_id, where)
            if earlier != where:
                same = f'{dotted(where)}: "{session_id}" is already {dotted(earlier)}'
                yield ValidationProblem(where, same)


def sessions_in(tree: Tree) -> list[Tree]:
    """Return the tables of the sessions; a value that is not a table counts as empty."""
    found = _table(tree, "credentials").get("sessions")
    if not isinstance(found, (list, tuple)):
        return []
    return [session if isinstance(session, Mapping) else {} for session in found]


def _table(tree: Tree, name: str) -> Tree:
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}
