"""What one mutation came to: the value that goes to journal, log and ack."""

from dataclasses import dataclass

from rensei_daemon.core.edit import Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one mutation, or of one change that no mutation asked for."""

    id: str = ""
    """The mutation's; empty for a change that no mutation asked for."""
    cause: str = ""
    """The mutation's op, or what else caused the change."""
    requested_by: str = ""
    """Who asked for a rollback; for a mutation, its own record says."""
    edits: tuple[Edit, ...] = ()
    """Empty if the mutation failed, or if everything it asks for already holds."""
    error: str = ""
    """Why the mutation failed; empty if it did not."""
    ignored: tuple[str, ...] = ()
    """Dotted names of the parameters that the file has no place for."""
