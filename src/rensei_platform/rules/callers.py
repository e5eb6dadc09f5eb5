"""Who asks, what role and scopes they have, and what those allow."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rensei_platform.errors import ForbiddenError


class CallerKind(StrEnum):
    """How a caller proved who they are."""

    API_KEY = "api_key"
    USER_TOKEN = "user_token"  # noqa: S105 - a kind, not a token
    SESSION = "session"


class Role(StrEnum):
    """What a user is in an organization."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    AUDITOR = "auditor"


class Access(StrEnum):
    """A scope of a key. `*` grants every one of them."""

    ALL = "*"
    REGISTER = "worker:register"
    POLL = "worker:poll"
    HEARTBEAT = "worker:heartbeat"
    WORKER_SESSION = "worker:session"
    SNAPSHOT = "credentials:snapshot"
    STREAM = "credentials:stream"
    ROTATE = "credentials:rotate"
    READ_MUTATIONS = "mutations:read"
    WRITE_MUTATIONS = "mutations:write"
    ADMIN = "org:admin"


WORKER_ACCESS = (Access.REGISTER, Access.POLL, Access.HEARTBEAT, Access.WORKER_SESSION)
HOST_KEY_ACCESS = (*WORKER_ACCESS, Access.SNAPSHOT, Access.STREAM)
"""What a key made for a host may do."""

_ADMINISTRATORS = (Role.OWNER, Role.ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller; always of exactly one organization."""

    kind: CallerKind
    org_id: str
    user_id: str | None
    name: str
    """The user's email address: the `requestedBy` of what this caller asks for."""
    role: Role
    scopes: frozenset[str] = frozenset({Access.ALL})
    key_id: str = ""
    projects: tuple[str, ...] | None = None
    """The only projects whose credentials this caller sees; None for all."""
    environments: tuple[str, ...] | None = None
    """The only environments whose credentials this caller sees; None for all."""
    address: str = ""
    is_operator: bool = False
    """Whether this user runs the platform, and so may add organizations."""


def on_the_host(org_id: str, name: str) -> Caller:
    """Return who uses a command on the database's host, as the audit names them."""
    return Caller(
        kind=CallerKind.API_KEY, org_id=org_id, user_id=None, name=name, role=Role.OWNER
    )


def require_access(caller: Caller, access: Access) -> None:
    """Raise ForbiddenError unless the caller's key has this scope.

    A key that is limited to projects or environments has no more than a host's, whatever
    scopes it was made with: the limit is about credentials, and it would administer all.
    """
    if not {Access.ALL, access} & caller.scopes:
        raise ForbiddenError(f"The key does not have the scope {access}")
    is_limited = caller.projects is not None or caller.environments is not None
    if is_limited and access not in HOST_KEY_ACCESS:
        raise ForbiddenError(
            "The key is limited to projects or environments, and so may do only what a "
            "host's key may; make one without the limit"
        )


def require_admin(caller: Caller, access: Access) -> None:
    """Raise ForbiddenError unless the caller is owner or admin, with this scope."""
    require_access(caller, access)
    if caller.role not in _ADMINISTRATORS:
        raise ForbiddenError("Organization admin or owner role required")


def require_operator(caller: Caller) -> None:
    """Raise ForbiddenError unless the caller runs the platform; a host's key does not."""
    require_access(caller, Access.ADMIN)
    if not caller.is_operator:
        raise ForbiddenError("Only an operator of the platform adds organizations")


def require_grant(caller: Caller, roles: Iterable[Role | None]) -> None:
    """Raise ForbiddenError if one of the roles is an owner's and the caller is none.

    It holds for the role that a member has and for the one that they would get: an admin
    neither makes owners nor takes the role from one.
    """
    if Role.OWNER in roles and caller.role is not Role.OWNER:
        raise ForbiddenError("Only an owner gives or takes the role of owner")


def require_org(caller: Caller, org_id: str) -> None:
    """Raise ForbiddenError unless the caller belongs to this organization."""
    if caller.org_id != org_id:
        raise ForbiddenError("Organization mismatch")


def require_rotation(caller: Caller, org_id: str) -> None:
    """Raise ForbiddenError unless the caller may rotate credentials of this organization.

    An API key needs its organization alone; a session or a user token needs the role too.
    """
    require_org(caller, org_id)
    require_access(caller, Access.ROTATE)
    if caller.kind is not CallerKind.API_KEY and caller.role not in _ADMINISTRATORS:
        raise ForbiddenError("Organization admin or owner role required")


def require_visible(caller: Caller, project_id: str | None, environment: str) -> None:
    """Raise ForbiddenError if the key is limited to other projects or environments."""
    if caller.projects is not None and project_id not in caller.projects:
        raise ForbiddenError("The key is limited to other projects")
    if caller.environments is not None and environment not in caller.environments:
        raise ForbiddenError("The key is limited to other environments")
