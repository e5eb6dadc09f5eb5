"""How one task lets another know: a bell that wakes one, a turn that all may await."""

import anyio


class WakeEvent:
    """Rung any number of times, it is heard once."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Let whoever waits, or will wait next, go on."""
        self._event.set()

    async def wait(self, within: float | None = None) -> bool:
        """Wait for the bell, at most `within` seconds; return whether it rang."""
        with anyio.move_on_after(within):
            await self._event.wait()
        rang = self._event.is_set()
        if rang:
            self._event = anyio.Event()
        return rang


class Cycle:
    """A loop's turn: whoever waits goes on once a whole one has passed.

    A turn under way when they come is not theirs: it may have looked already.
    """

    def __init__(self) -> None:
        self._under_way = anyio.Event()
        self._next = anyio.Event()

    def begin(self) -> None:
        """Say that the loop sets out."""
        self._under_way, self._next = self._next, anyio.Event()

    def end(self) -> None:
        """Say that the loop has come round."""
        self._under_way.set()

    async def wait_next(self) -> None:
        """Wait until a turn that is still to begin is done."""
        await self._next.wait()
