"""What this host does not let the platform change, whichever key asks for it."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import assert_never

from rensei_daemon.core.mutation import (
    ModelAccessClear,
    ModelAccessSet,
    Mutation,
    PoolDeleted,
    ProjectAdd,
    ProjectDisable,
    ProjectEnable,
    ProjectRemove,
)
from rensei_daemon.errors import ForbiddenMutationError
from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The file's `[mutations]`, which no mutation can change."""

    allow: Sequence[str]
    """Patterns of ops: `project.*`."""
    protected_projects: Sequence[str] = ()

    def check(self, op: str, mutation: Mutation) -> None:
        """Raise `ForbiddenMutationError`, naming the guard, if a guard forbids it."""
        if not any(fnmatchcase(op, pattern) for pattern in self.allow):
            raise ForbiddenMutationError(
                f"this host does not allow {op} (mutations.allow in its config.toml)"
            )
        project = _taken_project(mutation)
        if project in self.protected_projects:
            raise ForbiddenMutationError(
                f'project "{project}" is protected on this host '
                "(mutations.protected_projects in its config.toml)"
            )


def _taken_project(mutation: Mutation) -> str | None:
    """Return the project that the mutation would remove or disable.

    Every operation is listed, so that the type checker reports a new one.
    """
    match mutation:
        case ProjectRemove() | ProjectDisable():
            return mutation.id
        case ProjectAdd() | ProjectEnable():
            return None
        case PoolDeleted() | ModelAccessSet() | ModelAccessClear():
            return None
        case _:
            assert_never(mutation)
