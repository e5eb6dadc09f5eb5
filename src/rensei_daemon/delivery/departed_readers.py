"""Processes that read a session's values from the socket and left it, but live on.

They use what they read last: a worker that `exec --on-rotate none` became, one that read
once and closed the connection, one that has not come back after a restart of the daemon.
Processes that such a one has started, and left behind, cannot be told from others.
"""

from collections.abc import Callable, Iterable

from rensei_daemon.core.health import DEPARTED, ConsumerHealth, Proof
from rensei_daemon.disk.processes import lives
from rensei_daemon.fast_dataclass import dataclass, replace

MOST_PROCESSES = 256
"""Of a session that are known one by one."""
_OTHERS = 0
"""In place of a pid: of all processes that are not known one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerReaders:
    """A session's readers in the last status before a restart."""

    readers: tuple[ConsumerHealth, ...]
    generation: int
    """The newest of that run, in which the readers' generations count."""
    version: int | None
    """The platform's version of that generation; None if it is unknown."""


class DepartedReaders:
    """Those of one session, each with the newest generation that it has read."""

    def __init__(self) -> None:
        self._readers: dict[int, ConsumerHealth] = {}
        self._version: int | None = None
        """What processes from before a restart had, if they had the newest."""
        self._had_version: set[int] = set()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._readers)

    def restore(self, former: FormerReaders) -> None:
        """Continue with the processes of before a restart that still live.

        Generations are counted anew, so theirs are unknown until `note_values`.
        """
        self._version = former.version
        for line in former.readers:
            self.add(replace(line, generation=0))
            if line.generation == former.generation and not line.has_unread:
                self._had_version.add(line.pid or _OTHERS)

    def note_values(self, version: Callable[[], int | None], generation: int) -> None:
        """Note that values have arrived: after a restart, the first say who has them."""
        if self._had_version and self._version is not None and version() == self._version:
            for pid in self._had_version & self._readers.keys():
                self._readers[pid] = replace(self._readers[pid], generation=generation)
        self._had_version.clear()

    def add(self, line: ConsumerHealth) -> None:
        """Add a reader that has left, if its process lives."""
        pid = line.pid or _OTHERS
        if not _lives(line):
            return
        if pid not in self._readers and len(self._readers) >= MOST_PROCESSES:
            self.remove_ended()
            if len(self._readers) >= MOST_PROCESSES:
                pid = _OTHERS
        if pid == _OTHERS:  # it stays, with the oldest of their generations
            known = self._readers.get(pid, line)
            oldest = min(line.generation or 0, known.generation or 0)
            line = ConsumerHealth(
                kind=DEPARTED, name="processes out of sight", generation=oldest
            )
        self._readers[pid] = replace(line, kind=DEPARTED, proof=Proof.UNKNOWN)

    def discard(self, pid: int) -> None:
        """Remove a process that is connected again."""
        self._readers.pop(pid, None)

    def remove_ended(self) -> bool:
        """Remove the processes that have ended; return whether there were any."""
        ended = [pid for pid, line in self._readers.items() if not _lives(line)]
        for pid in ended:
            del self._readers[pid]
        return bool(ended)

    @property
    def lines(self) -> Iterable[ConsumerHealth]:
        """Those that live."""
        self.remove_ended()
        return tuple(self._readers.values())


def _lives(line: ConsumerHealth) -> bool:
    return not line.pid or lives(line.pid, line.started)
