"""A problem of the settings: the key, its place, and the probable name.

Rejected values are never shown, because any of them might be a misplaced secret.
"""

from collections.abc import Sequence
from typing import NamedTuple

KeyPath = tuple[str | int, ...]


class ValidationProblem(NamedTuple):
    """A rejected key, its problem, and what was probably meant."""

    path: KeyPath
    message: str
    hint: str = ""
    remedy: str = ""
    """How to fix it, if that is not done in the file."""

    @property
    def key(self) -> str | None:
        """The key as it is written in the file."""
        return dotted(self.path) or None


def dotted(path: Sequence[str | int]) -> str:
    """Return a key path as people write it: `credentials.sessions[0].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
