"""A bell between two tasks: one rings, the other stops waiting."""

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
