"""Notifications to the service manager (sd_notify(3)); nothing happens without one."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

import anyio


def notify(environ: Mapping[str, str], *lines: str) -> None:
    """Send assignments such as `READY=1`; a message that nobody takes is lost."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as channel:
        channel.sendto("\n".join(lines).encode(), address)


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return how often the watchdog is to hear of us. None: never.

    It is a third of the unit's limit, so that one late call does no harm.
    """
    limit = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
        return None
    if not (limit.isascii() and limit.isdigit() and int(limit)):
        return None
    return int(limit) / 3 / 1_000_000


async def feed_watchdog(environ: Mapping[str, str]) -> None:
    """Tell the watchdog that the event loop turns, until cancelled."""
    seconds = watchdog_seconds(environ)
    while seconds is not None:
        notify(environ, "WATCHDOG=1")
        await anyio.sleep(seconds)
