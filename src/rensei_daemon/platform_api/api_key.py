"""The API key in use, which is read again after the platform refused it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio.to_thread

from rensei_daemon.disk.api_key import ApiKey
from rensei_daemon.errors import RefusedError, SettingsError, UnauthorizedError

_T = TypeVar("_T")


class ActiveApiKey:
    """The API key; shared by every task, so that all of them use a new one at once."""

    def __init__(
        self, read: Callable[[], ApiKey], *, approve: Callable[[], None] = lambda: None
    ) -> None:
        """`approve` may reject a new key by raising `SettingsError`; both may block."""
        self._read = read
        self._approve = approve
        self.on_change: Callable[[], None] = lambda: None
        """Called after a new key came into use."""
        self._stored = read()

    @property
    def value(self) -> str:
        """The key itself."""
        return self._stored.secret

    def __repr__(self) -> str:
        """Return a text without the key."""
        return "KeyInUse(…)"

    async def reread(self) -> bool:
        """Read the key again, and return whether it is a new one.

        Raises `SettingsError` when it cannot be read or may not be used; the old key then
        stays in use.
        """
        stored = await anyio.to_thread.run_sync(self._read_approved)
        changed = stored.secret != self.value
        self._stored = stored
        if changed:
            self.on_change()
        return changed

    def _read_approved(self) -> ApiKey:
        stored = self._read()
        if stored.secret != self.value:
            self._approve()
        return stored

    async def ask(self, question: Callable[[str], Awaitable[_T]]) -> _T:
        """Ask with the key as bearer; ask once more after a 401 or 403 if it has changed.

        The error of a refused key has a hint about how to replace the key.
        """
        try:
            return await self._ask(question)
        except UnauthorizedError as refusal:
            if refusal.hint == refusal.default_hint:
                refusal.hint = self._stored.rotation_hint
            raise

    async def _ask(self, question: Callable[[str], Awaitable[_T]]) -> _T:
        used = self.value
        try:
            return await question(used)
        except (UnauthorizedError, RefusedError) as refusal:
            if isinstance(refusal, RefusedError) and refusal.status != 403:
                raise
            try:
                await self.reread()
            except SettingsError as error:
                raise UnauthorizedError(
                    "the platform refused the API key, and it cannot be read again: "
                    f"{error}",
                    hint=error.hint,
                ) from error
            if self.value == used:
                raise
        return await question(self.value)
