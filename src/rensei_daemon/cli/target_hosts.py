"""Which hosts an operator means: by name or id, several, or all that match a pattern."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from http import HTTPStatus

from rensei_daemon.cli.operator_access import OperatorAccess
from rensei_daemon.core.spelling import nearest
from rensei_daemon.errors import RefusedError, RenseiError, UsageError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api.operator_client import OperatorClient, RemoteHost


@dataclass(frozen=True, slots=True)
class Targets:
    """The hosts of a command line."""

    named: Sequence[str] = ()
    """Names or ids, as given."""
    are_all: bool = False
    pattern: str = "*"
    """Limits `are_all` to the names that match."""

    @property
    def are_several(self) -> bool:
        """Whether the answer is about a list of hosts, even if it has one."""
        return self.are_all or len(self.named) > 1


def targets_of(hosts: Sequence[str], are_all: bool, limit_to: str | None) -> Targets:
    """Return the targets. Raise UsageError for options that exclude each other."""
    if are_all and hosts:
        raise UsageError("--all and --host exclude each other")
    if limit_to is not None and not are_all:
        raise UsageError("--limit-to goes with --all")
    return Targets(tuple(dict.fromkeys(hosts)), are_all, limit_to or "*")


async def find_hosts(platform: OperatorClient, targets: Targets) -> list[RemoteHost]:
    """Return the hosts meant, in the order given, or by name for a pattern.

    A platform that does not list its hosts takes ids only. Raise `UsageError` for a name
    that no host has, that several have, and for a pattern without a match.
    """
    if targets.are_all:
        known = await _listed(platform)
        if known is None:
            raise RenseiError(
                "this platform does not list its hosts", hint="name them by id: --host ID"
            )
        found = [one for one in known if fnmatchcase(one.name, targets.pattern)]
        if not found:
            raise UsageError(
                f'no host matches "{targets.pattern}"',
                hint="* stands for any text, as in --limit-to 'build-*'",
            )
        return found
    known = None if await _are_ids(platform, targets.named) else await _listed(platform)
    return [_named(name, known) for name in targets.named]


async def _are_ids(platform: OperatorClient, names: Sequence[str]) -> bool:
    """Whether these are ids for certain, so that no list is needed."""
    return all(
        [name.startswith("host_") and await _exists(platform, name) for name in names]
    )


async def _exists(platform: OperatorClient, host_id: str) -> bool:
    try:
        await platform.get_host(host_id)
    except RefusedError:
        return False
    return True


async def _listed(platform: OperatorClient) -> list[RemoteHost] | None:
    """Return every host by name; None if the platform does not tell."""
    try:
        return await platform.list_hosts()
    except RefusedError as error:
        if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            return None
        raise


def _named(name: str, known: list[RemoteHost] | None) -> RemoteHost:
    if known is None:
        return RemoteHost(id=name, name=name)
    for one in known:
        if one.id == name:
            return one
    found = [one for one in known if one.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(one.id for one in found)
        raise UsageError(f'several hosts are named "{name}"', hint=f"name one by id: {ids}")
    hint = (
        nearest(name, [one.name for one in known]) or "see them: rensei-platform host list"
    )
    raise RenseiError(f'the platform has no host "{name}"', hint=hint)


async def targets_or_own(
    asking: OperatorAccess, platform: OperatorClient, targets: Targets
) -> list[RemoteHost]:
    """Return the hosts meant; without any, the host of the file or the daemon here."""
    if targets.are_all or targets.named:
        return await find_hosts(platform, targets)
    own = asking.host(None)
    return [RemoteHost(id=own, name=own)]
