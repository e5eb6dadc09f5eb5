"""Extensions of the wire that the platform offers.

Every heartbeat answer names them. One is used only while the newest answer from that url
named it, so that a platform without it is never sent anything of it.
"""

from collections.abc import Iterable

from rensei_daemon.fast_dataclass import dataclass

UPTAKE = "uptake"
"""Heartbeats say which version of the values each session holds and uses."""
MUTATIONS_EVENT = "mutations-event"
"""Streams that name this worker bring an event when a mutation waits."""

KNOWN = frozenset({UPTAKE, MUTATIONS_EVENT})


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the newest heartbeat answer offered; nothing before the first."""

    url: str = ""
    """Of the platform that answered."""
    names: frozenset[str] = frozenset()

    @classmethod
    def of_answer(cls, url: str, named: Iterable[object]) -> "Extensions":
        """Return the known extensions that an answer names."""
        return cls(url, KNOWN.intersection(name for name in named if isinstance(name, str)))

    def offers(self, name: str, url: str) -> bool:
        """Whether a request to this url may use an extension."""
        return name in self.names and self.url == url
