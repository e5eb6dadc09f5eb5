"""Who is served at once, and who gives way when more want in.

A place is for as long as it takes: to hear a client out, to work on its answer, to have it
taken. A client that has said all it wants comes before one that is still waited for, and
of those the one that has been waited for longest goes first. So a thousand silent clients
cost each other their places, and the one that asks is answered.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Client:
    """A client, with a place or without."""

    def __init__(self) -> None:
        self.has_slot = False
        """Without one it is heard as far as it has spoken, and not waited for."""
        self.waiting_since: float | None = None
        """Since when the server waits for it; None while it is the server's turn."""
        self._scope: anyio.CancelScope | None = None

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Leave the block after so long, or at the first wait without a place."""
        with anyio.move_on_after(seconds) as scope:
            self._scope = scope
            self.waiting_since = anyio.current_time()
            if not self.has_slot:
                scope.cancel()
            try:
                yield
            finally:
                self._scope = self.waiting_since = None

    def evict(self) -> None:
        """Take the place away."""
        self.has_slot = False
        if self._scope is not None:
            self._scope.cancel()


class ConnectionLimit:
    """Everybody who has a place."""

    def __init__(self, most: int, grace_seconds: float) -> None:
        self._most = most
        self._grace_seconds = grace_seconds
        self._clients: set[Client] = set()

    def admit(self, client: Client, *, has_spoken: bool = False) -> bool:
        """Give a client a place, if there is one or somebody else must give way.

        To a newcomer, those that have been waited for as long as patience lasts; to one
        that has said all it wants, whoever is waited for.
        """
        is_full = len(self._clients) >= self._most
        if is_full and not self._evict_slowest(0.0 if has_spoken else self._grace_seconds):
            return False
        client.has_slot = True
        self._clients.add(client)
        return True

    def release(self, client: Client) -> None:
        """Take back a place, from one who may have lost it already."""
        self._clients.discard(client)

    def _evict_slowest(self, grace_seconds: float) -> bool:
        late = anyio.current_time() - grace_seconds
        slow = {
            since: client
            for client in self._clients
            if (since := client.waiting_since) is not None and since <= late
        }
        if not slow:
            return False
        slowest = slow[min(slow)]
        self._clients.discard(slowest)
        slowest.evict()
        return True
