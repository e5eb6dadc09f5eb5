"""A session's subscribers: the readers on the credential socket that want its values.

Owns the newest values and the frames that bring a reader from its values to the newest.
Knows no socket: readers wait here for changes and report what they were sent.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import anyio

from rensei_daemon.clock import CLOCK
from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential import Credentials, Difference, difference
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.delivery.bursts import Bursts
from rensei_daemon.delivery.delivery_protocol import ignore_uptake
from rensei_daemon.delivery.departed_readers import DepartedReaders
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.fast_dataclass import replace

CALM_SECONDS = 60.0


Reader = Callable[[Credentials], bool]
"""A reader's function that sends it the newest values, if that needs no waiting.

Returns whether it has; if not, the reader has to be woken to send them itself.
"""

Line = Callable[[datetime], ConsumerHealth]
"""A reader's function that returns what status shows of it at this time."""


class Subscribers:
    """The socket as one of a session's deliveries; it survives a change of settings."""

    kind = "socket"
    after = None
    retries = None
    splay_seconds = 0.0
    takes_turns = False

    def __init__(
        self,
        session_id: str,
        gid: int | None,
        forget: Callable[[], None],
        bursts: Bursts,
    ) -> None:
        """Members of the group `gid` may read; None: every process that may connect."""
        self.on_uptake: Callable[[], None] = ignore_uptake
        self.name = session_id
        self.gid = gid
        self.newest: Credentials | None = None
        """None until the first snapshot, and again while the settings change."""
        self.is_removed = False
        self.missing: Callable[[], str] = _unknown
        """Returns what a worker would read at its start and is missing; empty: nothing."""
        self.refusals = FailureReporter(calm_seconds=CALM_SECONDS)
        """Readers without permission; a unit that restarts may try all night."""
        self.drops = FailureReporter(calm_seconds=CALM_SECONDS)
        """Readers that fell too far behind."""
        self.version: Callable[[], int | None] = lambda: None
        """Returns the platform's version of the newest values."""
        self.departed = DepartedReaders()
        self.awaited: set[int] = set()
        """Pids that were readers before a restart and have not come back."""
        self._forget, self._bursts = forget, bursts
        self._rotated_at = datetime.now(UTC)
        self._changed: anyio.Event | None = None
        """Set at the next change; None while no reader waits for it."""
        self._waiting = 0
        """How many readers wait, whether or not they have been sent the newest values."""
        self._readers: dict[Reader, tuple[int, Line]] = {}
        """With the pid of each."""
        self._last_frame: tuple[Credentials | None, Credentials, bytes] | None = None

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """The readers that have been sent values, and the processes that have left."""
        now = CLOCK.now()
        connected = (line(now) for _, line in self._readers.values())
        return (*connected, *self.departed.lines)

    def deliver_at_once(self, credentials: Credentials) -> bool:
        """Send the values to every reader; slow ones delay nobody."""
        before, self.newest = self.newest, credentials
        self.departed.note_values(self.version, credentials.generation)
        self._rotated_at = datetime.now(UTC)
        if self._readers:
            self.frames(before, credentials)  # made now, so that a burst only sends
        self._bursts.request(self._send_newest)
        return True

    def _send_newest(self) -> None:
        if self.newest is None or self.is_removed:  # its settings change, or it has ended
            return
        sent = sum([send(self.newest) for send in self._readers])
        if sent < self._waiting:  # waking readers that are up to date would delay others
            self._announce()

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:  # noqa: ARG002 - each reader has its own
        """Send the values to every reader."""
        return self.deliver_at_once(credentials)

    def confirm(self, credentials: Credentials) -> None:
        """Do nothing: readers do not outlive the connection."""

    async def check(self, credentials: Credentials) -> str:  # noqa: ARG002 - they have it
        """Return an empty text: a reader cannot lose what it was sent."""
        if self.departed.remove_ended():
            self.on_uptake()
        return ""

    async def withdraw(self) -> None:
        """Send BYE to every reader: the session is gone."""
        self.is_removed = True
        self._forget()
        self._announce()

    def renew(self, gid: int | None) -> None:
        """Keep the readers while the session restarts with other settings."""
        self.gid = gid
        self.newest = None
        self.missing = _unknown
        self._announce()

    async def wait_for_change(self, known: Credentials | None) -> Credentials | None:
        """Wait for values other than `known`; None when the session is removed."""
        self._waiting += 1
        try:
            while not self.is_removed and (self.newest is None or self.newest is known):
                self._changed = self._changed or anyio.Event()
                await self._changed.wait()
        finally:
            self._waiting -= 1
        return None if self.is_removed else self.newest

    def frames(self, known: Credentials | None, newest: Credentials) -> bytes:
        """Return the frame that brings a reader up to date; empty if it is.

        No frame removes a name, so a removal sends all values again.
        """
        last = self._last_frame
        if last is not None and last[0] is known and last[1] is newest:
            return last[2]
        frame = _frame(known, newest, self._rotated_at)
        self._last_frame = (known, newest, frame)
        return frame

    def add(self, reader: Reader, line: Line, pid: int) -> None:
        """Add a reader that was sent its first values."""
        self._readers[reader] = (pid, line)
        self.awaited.discard(pid)
        self.departed.discard(pid)
        self.on_uptake()

    def remove(self, reader: Reader, *, has_read_all: bool) -> None:
        """Remove a reader that has gone; its process may live on with what it has read."""
        found = self._readers.pop(reader, None)
        if found is None:
            return
        pid, line_at = found
        if all(pid != other for other, _ in self._readers.values()):
            line = replace(line_at(CLOCK.now()), has_unread=False, waits_until=None)
            # Which frames it has not read is unknown; the oldest values are the safe ones.
            self.departed.add(line if has_read_all else replace(line, generation=0))
        self.on_uptake()

    def _announce(self) -> None:
        if self._changed is not None:
            self._changed.set()
        self._changed = None


def _unknown() -> str:
    return "no credentials"


def _frame(known: Credentials | None, newest: Credentials, at: datetime) -> bytes:
    if known is None:
        return credential_frames.initial(newest.env)
    change = difference(known, newest)
    if change.removed:
        return credential_frames.initial(newest.env)
    return credential_frames.update(change.changed, at) if change else b""
