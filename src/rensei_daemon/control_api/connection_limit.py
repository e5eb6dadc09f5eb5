"""How many clients are served at once, and which one loses its slot to another.

A slot is held while the request is read, handled and answered. If all are taken, a client
whose whole request has arrived gets the slot of the client that the server has waited for
longest. So a thousand silent clients only take slots from each other, and a client that
sends a request is answered.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Client:
    """A client, with or without a slot."""

    def __init__(self) -> None:
        self.has_slot = False
        """Without one, what it has sent already is read, but the server does not wait."""
        self.waiting_since: float | None = None
        """Since when the server waits for it; None while the server works for it."""
        self._scope: anyio.CancelScope | None = None

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Leave the block after so many seconds, or at its first wait without a slot."""
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
        """Take its slot, and end the wait for it."""
        self.has_slot = False
        if self._scope is not None:
            self._scope.cancel()


class ConnectionLimit:
    """The clients that have a slot."""

    def __init__(self, most: int, grace_seconds: float) -> None:
        """Let new clients take the slots of those waited for `grace_seconds` or longer."""
        self._most = most
        self._grace_seconds = grace_seconds
        self._clients: set[Client] = set()

    def admit(self, client: Client, *, has_request: bool = False) -> bool:
        """Give a client a slot, a free one or another client's; return whether it has one.

        If its whole request has arrived, the other client has no grace.
        """
        is_full = len(self._clients) >= self._most
        if is_full and not self._evict_slowest(0.0 if has_request else self._grace_seconds):
            return False
        client.has_slot = True
        self._clients.add(client)
        return True

    def release(self, client: Client) -> None:
        """Free the slot of a client, if it still has one."""
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
