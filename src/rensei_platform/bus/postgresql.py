"""The bus between servers that share a PostgreSQL: LISTEN and NOTIFY.

LISTEN has a connection of its own, since a pooler of transactions cannot hold one. When it
is lost it is opened again, and subscribers of `Topic.MISSED` are notified.
"""

import random
from collections.abc import Awaitable, Callable

import anyio
import structlog
from anyio.abc import TaskStatus
from psycopg import AsyncConnection, Error
from psycopg.sql import SQL, Identifier

from rensei_platform.bus.messages import Message, Subscribers, Topic, dump, parse

CHANNEL = "rensei_platform"
CHECK_SECONDS = 5.0
"""Without a notification, after which the connection is asked whether it is there."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

_LISTEN = SQL("LISTEN {}").format(Identifier(CHANNEL))
_log = structlog.get_logger()


class PostgresqlBus(Subscribers):
    """Carries messages between the servers of a database."""

    def __init__(
        self, conninfo: str, sender: str, send: Callable[[str, str], Awaitable[None]]
    ) -> None:
        super().__init__()
        self._conninfo, self._sender, self._send = conninfo, sender, send
        self.is_connected = False

    async def publish(self, message: Message) -> None:
        """Tell every server. `send` raises nothing: a lost message is found again."""
        self.deliver(message)
        await self._send(CHANNEL, dump(self._sender, message))

    async def run(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen until cancelled. It has started when it listens, or cannot yet."""
        connection = await self._connect()
        task_status.started()
        pause = FIRST_PAUSE_SECONDS
        while True:
            if connection is not None:
                pause = FIRST_PAUSE_SECONDS
                await self._listen(connection)
            await anyio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - not a secret
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            connection = await self._connect()

    async def _connect(self) -> AsyncConnection | None:
        """Return a connection that listens. None if there is none to be had now."""
        try:
            with anyio.fail_after(CHECK_SECONDS):
                connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
                try:
                    await connection.execute(_LISTEN)
                except BaseException:
                    await connection.close()
                    raise
        except (Error, OSError, TimeoutError):
            return None
        return connection

    async def _listen(self, connection: AsyncConnection) -> None:
        """Pass on what is heard, for as long as the connection lasts."""
        self.is_connected = True
        self.deliver(Message(Topic.MISSED))
        try:
            while True:
                async for heard in connection.notifies(timeout=CHECK_SECONDS):
                    self._hear(heard.payload)
                with anyio.fail_after(CHECK_SECONDS):
                    await connection.execute("SELECT 1")
        except (Error, OSError, TimeoutError) as error:
            _log.warning("bus.lost", reason=type(error).__name__)
        finally:
            self.is_connected = False
            await connection.close()  # it waits for nothing

    def _hear(self, text: str) -> None:
        match parse(text):
            case (sender, message) if sender != self._sender:
                self.deliver(message)
