"""The newest environment for a supervised command, and when it is to have it."""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.credential_feed import CredentialFeed
from rensei_daemon.cli.merged_sessions import Values
from rensei_daemon.core.escaping import escape_line
from rensei_daemon.delivery.credential_reader import CredentialReader
from rensei_daemon.errors import UsageError

TOGETHER_SECONDS = 0.2
"""How long the rotation of one session waits for the others: one event may rotate all."""

Environment = Callable[[Values], dict[str, str]]


class SessionsFeed:
    """All sessions of a command.

    Values that cannot be in one environment are reported, and the command keeps those that
    it has.
    """

    def __init__(
        self,
        feeds: Sequence[CredentialFeed],
        environment: Environment,
        *,
        splay_seconds: float = 0.0,
    ) -> None:
        """`environment` makes the command's; it raises `UsageError`, and so does this."""
        self._feeds = feeds
        self._make_environment = environment
        self._splay_seconds = splay_seconds
        self._arrived = self._newest = tuple(feed.values for feed in feeds)
        self._environment = environment(self._newest)
        self._taken: Values | None = None
        """What the command was started with, or last signalled about."""
        self.due_at = -float("inf")
        """When the command is to have what is pending; monotonic time."""

    @property
    def is_pending(self) -> bool:
        """Whether the command has older values."""
        return self._taken != self._newest

    @property
    def reconnect_at(self) -> float:
        """When `listen` is to be called even if nothing arrives; monotonic time."""
        return min(feed.reconnect_at for feed in self._feeds)

    @property
    def open_readers(self) -> Iterator[CredentialReader]:
        """The connections to poll."""
        return (feed.reader for feed in self._feeds if feed.reader.is_open)

    def take(self) -> dict[str, str]:
        """Return the newest environment, which the command has from now on."""
        self._taken = self._newest
        return self._environment

    def listen(self) -> None:
        """Read what has arrived; never wait."""
        for feed in self._feeds:
            feed.listen()
        arrived = tuple(feed.values for feed in self._feeds)
        if arrived == self._arrived:
            return
        self._arrived = arrived
        try:
            environment = self._make_environment(arrived)
        except UsageError as error:
            said = f"{escape_line(str(error))}; the command keeps its values"
            print(f"{PROGRAM}: {said} ({error.hint})", file=sys.stderr)
            return
        # Newer values take over a wait that has begun, or many rotations would put off
        # the first one for ever.
        if not self.is_pending:
            self.due_at = time.monotonic() + self._wait()
        self._newest, self._environment = arrived, environment

    def say_waiting(self) -> None:
        """Say that the command gets the newest values later, if it does so on purpose."""
        left = self.due_at - time.monotonic()
        if self.is_pending and self._splay_seconds and left > 0:
            for feed in self._feeds:
                feed.reader.say_waiting(left)

    def _wait(self) -> float:
        splay = random.uniform(0.0, self._splay_seconds)  # noqa: S311 - spreads load
        return max(splay, TOGETHER_SECONDS if len(self._feeds) > 1 else 0.0)

    def acknowledge(self) -> None:
        """Say that the command uses the newest values, if it does."""
        if self._taken == self._arrived:
            for feed in self._feeds:
                feed.reader.acknowledge()
