"""Validation in this process, which imports the model once it is asked.

A daemon never does so: the model would stay in its memory.
"""

from rensei_daemon.core.document import Document
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Settings


@dataclass(frozen=True, slots=True)
class LocalValidator:
    """A `Validator` that asks the model."""

    sources: Sources

    def load(self, document: Document, *, on_host: bool = False) -> Settings:
        """Return the settings in force for a text."""
        from rensei_daemon.settings.host_checks import host_problems
        from rensei_daemon.settings.loading import load, nothing_more

        return load(
            document.text,
            path=self.sources.path,
            environ=self.sources.environ,
            overrides=self.sources.overrides,
            runtime=self.sources.runtime,
            state=self.sources.state,
            check=host_problems if on_host else nothing_more,
        )

    def accept(self, document: Document) -> Settings:
        """Return the settings of an edited text."""
        from rensei_daemon.settings.loading import check_settings
        from rensei_daemon.settings.texts import parse

        return check_settings(
            parse(document.text, path=self.sources.path),
            folder=self.sources.path.parent,
            environ=self.sources.environ,
            overrides=self.sources.overrides,
        )
