"""A session's audience: everybody on the credential socket who wants its values.

It owns what the newest values are and the words that lead there from what a reader has.
It knows no socket: readers wait here for news, and say here what they have been told.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import anyio

from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential import Credentials, Difference, difference
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.delivery.delivery_protocol import ignore_uptake
from rensei_daemon.failure_reporter import FailureReporter

CALM_SECONDS = 60.0


class Subscriber(Protocol):
    """A reader as its audience knows it."""

    def send_at_once(self, newest: Credentials) -> bool:
        """Tell a reader that waits for news if that takes no waiting.

        Returns whether that is all; if not, it needs waking, to be told in its own time.
        """


class Subscribers:
    """The socket as one of a session's deliveries; it outlives a change of settings."""

    kind = "socket"
    after = None
    retries = None

    def __init__(
        self, session_id: str, gid: int | None, forget: Callable[[], None]
    ) -> None:
        """`gid` is the group whose members alone may listen; None: whoever connects."""
        self.on_uptake: Callable[[], None] = ignore_uptake
        self.name = session_id
        self.gid = gid
        self.newest: Credentials | None = None
        """None until the first snapshot, and again while the settings change."""
        self.is_removed = False
        self.missing: Callable[[], str] = _unknown
        """What a worker would read at its start and is not there yet; empty: nothing."""
        self.refusals = FailureReporter(calm_seconds=CALM_SECONDS)
        """Of those who may not listen; a unit that restarts may try all night."""
        self.drops = FailureReporter(calm_seconds=CALM_SECONDS)
        """Of those who fell too far behind."""
        self.awaited: set[int] = set()
        """Processes that were readers before a restart and have not come back."""
        self._forget = forget
        self._rotated_at = datetime.now(UTC)
        self._changed = anyio.Event()
        self._waiting = 0
        """How many wait for news, whether they have been told it meanwhile or not."""
        self._readers: dict[Subscriber, ConsumerHealth] = {}
        self._last_words: tuple[Credentials | None, Credentials, bytes] | None = None

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """Everybody who has been told something and still listens."""
        return tuple(self._readers.values())

    def deliver_at_once(self, credentials: Credentials) -> bool:
        """Let every reader know; slow ones hold up nobody."""
        self.newest = credentials
        self._rotated_at = datetime.now(UTC)
        told = sum([reader.send_at_once(credentials) for reader in self._readers])
        if told < self._waiting:  # to wake those who know already would hold up others
            self._announce()
        return True

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:  # noqa: ARG002 - each reader has its own
        """Let every reader know."""
        return self.deliver_at_once(credentials)

    async def check(self, credentials: Credentials) -> str:  # noqa: ARG002 - they have it
        """Return nothing: what a reader was told cannot be taken away."""
        return ""

    async def withdraw(self) -> None:
        """Say goodbye to every reader: the session is gone."""
        self.is_removed = True
        self._forget()
        self._announce()

    def renew(self, gid: int | None) -> None:
        """Keep the readers while the session starts anew with other settings."""
        self.gid = gid
        self.newest = None
        self.missing = _unknown
        self._announce()

    async def wait_for_change(self, known: Credentials | None) -> Credentials | None:
        """Wait for other values than the known ones; None when the session is removed."""
        self._waiting += 1
        try:
            while not self.is_removed and (self.newest is None or self.newest is known):
                await self._changed.wait()
        finally:
            self._waiting -= 1
        return None if self.is_removed else self.newest

    def frames(self, known: Credentials | None, newest: Credentials) -> bytes:
        """Return the frame that brings a reader up to date; empty when it is.

        There are no words for a name that went, so everything is said again.
        """
        last = self._last_words
        if last is not None and last[0] is known and last[1] is newest:
            return last[2]
        words = _words(known, newest, self._rotated_at)
        self._last_words = (known, newest, words)
        return words

    def record(self, reader: Subscriber, title: str, pid: int, generation: int) -> None:
        """Note that a reader has been told."""
        self._readers[reader] = ConsumerHealth(
            kind=self.kind, name=title, generation=generation, pid=pid
        )
        self.awaited.discard(pid)
        self.on_uptake()

    def remove(self, reader: Subscriber) -> None:
        """Note that a reader has gone."""
        if self._readers.pop(reader, None):
            self.on_uptake()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _unknown() -> str:
    return "no credentials"


def _words(known: Credentials | None, newest: Credentials, at: datetime) -> bytes:
    if known is None:
        return credential_frames.initial(newest.env)
    change = difference(known, newest)
    if change.removed:
        return credential_frames.initial(newest.env)
    return credential_frames.update(change.changed, at) if change else b""
