"""From a text to settings at once, if it is exactly what `values` says.

Most files are, and so are all that mutations write. Whatever is not, another validator
looks at; it knows the model, which takes a process of its own, and what is wrong. So is a
text that a rule here fails at: no text may end a daemon that has one in force.
"""

import tomllib
from collections.abc import Iterable
from contextlib import suppress

from rensei_daemon.core.document import Document
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.settings.building import UnfitError, build
from rensei_daemon.settings.contradictions import contradictions
from rensei_daemon.settings.host_checks import (
    host_problems,
    needed_files,
    shared_directories,
    shared_files,
)
from rensei_daemon.settings.layers import Tree, anchored, overlaid, read_environment
from rensei_daemon.settings.sources import Sources, Validator
from rensei_daemon.settings.values import Settings


@dataclass(frozen=True, slots=True)
class FittingValidator:
    """A `Validator` that asks another one only about texts that do not fit; blocks."""

    sources: Sources
    otherwise: Validator

    def load(self, document: Document, *, on_host: bool = False) -> Settings:
        """Return the settings in force for a text."""
        with suppress(Exception):
            together = self._together(document)
            _refuse(shared_directories(self.sources.state, self.sources.runtime))
            _refuse(shared_files(together, document.text, self.sources.runtime))
            _refuse(needed_files(self._anchored(together), self.sources.locations))
            if on_host:
                _refuse(host_problems(together))
            return self._built(together)
        return self.otherwise.load(document, on_host=on_host)

    def accept(self, document: Document) -> Settings:
        """Return the settings of an edited text."""
        with suppress(Exception):
            return self._built(self._together(document))
        return self.otherwise.accept(document)

    def _together(self, document: Document) -> Tree:
        """Return what all layers set; raise `UnfitError` if that has a problem."""
        environment = read_environment(self.sources.environ)
        _refuse(environment.problems)
        try:
            layers = self.sources.overrides, environment.tree, document.tree
        except (tomllib.TOMLDecodeError, RecursionError):
            raise UnfitError from None
        together = overlaid(layers)
        _refuse(contradictions(together))
        return together

    def _built(self, together: Tree) -> Settings:
        return build(Settings, self._anchored(together))

    def _anchored(self, together: Tree) -> Tree:
        return anchored(together, self.sources.path.parent)


def _refuse(problems: Iterable[object]) -> None:
    """Raise `UnfitError` if there is a problem: how it is said is not known here."""
    for _ in problems:
        raise UnfitError
