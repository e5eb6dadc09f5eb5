"""A platform as a process of its own: it serves until it is told to stop.

Here, and only here, signals are taken: SIGINT and SIGTERM both mean a quiet end.
"""

import signal
from collections.abc import Callable

import anyio

from rensei_daemon.local_platform.running import running
from rensei_daemon.local_platform.settings import PlatformSettings


def serve(
    settings: PlatformSettings,
    *,
    host: str,
    port: int,
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the URL once it listens.

    Raises OSError when the port is taken or a file cannot be opened, and sqlite3.Error
    when the state file is no database.
    """
    anyio.run(_serve, settings, host, port, announce)


async def _serve(
    settings: PlatformSettings, host: str, port: int, announce: Callable[[str], None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with running(settings, host=host, port=port) as platform:
            announce(platform.url)
            async for _ in signals:
                break
