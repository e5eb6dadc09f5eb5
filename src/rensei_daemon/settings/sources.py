"""Where the settings of one daemon come from, and who validates them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.locations import Locations
from rensei_daemon.settings.values import Settings

if TYPE_CHECKING:
    from rensei_daemon.core.document import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The places beside the text of the file."""

    path: Path
    """Of the file: relative paths start at its directory, and problems name it."""
    runtime: Path
    """Where relative files of sessions are."""
    state: Path | None = None
    """Where the daemon keeps what survives a reboot, if that is known."""
    environ: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Settings of the command line, shaped like the file."""

    @property
    def locations(self) -> Locations:
        """The files that the daemon has in these places."""
        return Locations(
            config=self.path, state=self.state or self.runtime, runtime=self.runtime
        )


class Validator(Protocol):
    """Makes settings of a text, in this process or in another; blocks.

    Both methods raise `SettingsError` for a text that cannot be used, and its subclass
    `UncheckedError` when nobody can tell.
    """

    def load(self, document: "Document", *, on_host: bool = False) -> Settings:
        """Return the settings in force for a text; problems name lines.

        `on_host`: also refuse what would prevent a daemon of this user from starting.
        """
        ...

    def accept(self, document: "Document") -> Settings:
        """Return the same for an edited text; problems name keys instead of lines."""
        ...
