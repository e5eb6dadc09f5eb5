"""What a right configuration must find on the host it is used on."""

from collections.abc import Iterator

from rensei_daemon.disk.user_groups import group_id
from rensei_daemon.errors import SettingsError
from rensei_daemon.settings.contradictions import Tree, sessions_in
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, dotted
from rensei_daemon.settings.validators import is_placeholder


def host_problems(tree: Tree) -> Iterator[ValidationProblem]:
    """Return what keeps a daemon of this process's user from starting with these keys."""
    yield from unset_platform(tree)
    for where, group in groups_in(tree):
        try:
            group_id(group)
        except SettingsError as error:
            yield ValidationProblem(where, f"{dotted(where)}: {error}", remedy=error.hint)


def unset_platform(tree: Tree) -> Iterator[ValidationProblem]:
    """Refuse a platform.url that leads nowhere, as in the example.

    The API key goes to a platform that the operator has chosen, and to no other.
    """
    table = tree.get("platform", {})
    url = table.get("url", "") if isinstance(table, dict) else None
    if isinstance(url, str) and (not url or is_placeholder(url)):
        remedy = "set platform.url to the address of your platform"
        yield ValidationProblem(
            ("platform", "url"), "platform.url is not set", remedy=remedy
        )


def groups_in(tree: Tree) -> Iterator[tuple[KeyPath, str]]:
    """Return every group that a key names, and the key."""
    places: list[tuple[KeyPath, object]] = [
        ((section, "group"), table.get("group"))
        for section in ("control", "credentials")
        if isinstance(table := tree.get(section), dict)
    ]
    for index, session in enumerate(sessions_in(tree)):
        places.append((("credentials", "sessions", index, "group"), session.get("group")))
    for where, group in places:
        if isinstance(group, str) and group:
            yield where, group
