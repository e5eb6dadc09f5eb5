"""What this host does not let the platform change, whoever asks for it there."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rensei_daemon.core.mutation import Mutation, ProjectDisable, ProjectRemove
from rensei_daemon.errors import ForbiddenMutationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The file's `[mutations]`, which no mutation can change."""

    allow: Sequence[str]
    """Patterns of ops: `project.*`."""
    protected_projects: Sequence[str] = ()

    def check(self, op: str, mutation: Mutation) -> None:
        """Let the mutation pass, or raise `ForbiddenMutationError` naming the guard."""
        if not any(fnmatchcase(op, pattern) for pattern in self.allow):
            raise ForbiddenMutationError(
                f"this host does not allow {op} (mutations.allow in its config.toml)"
            )
        if (
            isinstance(mutation, ProjectRemove | ProjectDisable)
            and mutation.id in self.protected_projects
        ):
            raise ForbiddenMutationError(
                f'project "{mutation.id}" is protected on this host '
                "(mutations.protected_projects in its config.toml)"
            )
