"""What one server counts of what it does not do, for its metrics."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """How often it has happened since the start."""

    ignored_acks: int = 0
    """Outcomes of mutations that the host has not, or that were not delivered to it."""
    lost_entries: int = 0
    """Entries of the audit that could not be written after their answer."""
