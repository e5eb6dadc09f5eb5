"""Who is served at once, and who gives way when more want in.

A place is for a client that has something to say and says it. One that keeps the server
waiting, half a request in or an answer not taken, may do so for as long as nobody else
wants its place; then the slowest goes. So a thousand silent clients cost each other
their places, and the one that asks is answered.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Guest:
    """A client that has a place."""

    def __init__(self) -> None:
        self.waited_for_since: float | None = anyio.current_time()
        """Since when the server waits for it; None while it is the server's turn."""
        self.is_displaced = False
        """Whether another client has its place now."""
        self._scope: anyio.CancelScope | None = None

    @contextmanager
    def waited_for(self, seconds: float) -> Iterator[None]:
        """Leave the block after so long, or when another client is given the place."""
        with anyio.move_on_after(seconds) as scope:
            self._scope = scope
            self.waited_for_since = anyio.current_time()
            if self.is_displaced:
                scope.cancel()
            try:
                yield
            finally:
                self._scope = self.waited_for_since = None

    def displace(self) -> None:
        """Take the place away."""
        self.is_displaced = True
        if self._scope is not None:
            self._scope.cancel()


class Crowd:
    """Everybody who has a place."""

    def __init__(self, most: int, patience_seconds: float) -> None:
        self._most = most
        self._patience = patience_seconds
        self._guests: set[Guest] = set()

    def admit(self) -> Guest | None:
        """Give a newcomer a place; None when every one is taken by somebody busy."""
        if len(self._guests) >= self._most and not self._make_room():
            return None
        guest = Guest()
        self._guests.add(guest)
        return guest

    def leave(self, guest: Guest) -> None:
        """Take back a place, from one who may have lost it already."""
        self._guests.discard(guest)

    def _make_room(self) -> bool:
        late = anyio.current_time() - self._patience
        slow = {
            since: guest
            for guest in self._guests
            if (since := guest.waited_for_since) is not None and since <= late
        }
        if not slow:
            return False
        slowest = slow[min(slow)]
        self._guests.discard(slowest)
        slowest.displace()
        return True
