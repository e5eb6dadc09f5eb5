"""How one task lets another know: a bell that wakes one, a turn that all may await."""

import anyio


class Bell:
    """Rung any number of times, it is heard once."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """Let whoever waits, or will wait next, go on."""
        self._event.set()

    async def heard(self, within: float | None = None) -> bool:
        """Wait for the bell, at most `within` seconds; return whether it rang."""
        with anyio.move_on_after(within):
            await self._event.wait()
        rang = self._event.is_set()
        if rang:
            self._event = anyio.Event()
        return rang


class Turn:
    """A loop's turn: whoever waits goes on when the loop has come round once more."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def done(self) -> None:
        """Say that the loop has come round."""
        self._event.set()
        self._event = anyio.Event()

    async def next(self) -> None:
        """Wait until it has."""
        await self._event.wait()
