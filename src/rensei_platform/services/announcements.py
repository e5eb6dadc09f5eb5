"""Hosts that a mutation waits for: each is notified on the streams that name its worker.

The event says nothing but that: the host sends a heartbeat, and is answered as always. One
that is lost costs the time until the next heartbeat, and nothing else. It goes to every
such stream, so that one which closes, or which another key has opened, takes it from none.
"""

from collections.abc import Collection

import anyio

from rensei_platform.bus.hub import Hub
from rensei_platform.services.platform import Platform

MUTATIONS = b'event: MUTATIONS\ndata: {"type":"MUTATIONS"}\n\n'
HOSTS_AT_ONCE = 20
PAUSE_SECONDS = 0.02
"""After so many hosts: a thousand of them beat within a second, not at once."""


async def announce_regularly(platform: Platform) -> None:
    """Notify hosts that a mutation waits for them, for ever."""
    while True:
        await announce(platform.hub, await platform.pending_hosts.wait())


async def announce(hub: Hub, host_ids: Collection[str]) -> None:
    """Notify those of the hosts that listen here, a few at a time."""
    listening = [id_ for id_ in host_ids if hub.of_host(id_)]
    for number, id_ in enumerate(listening):
        if number and number % HOSTS_AT_ONCE == 0:
            await anyio.sleep(PAUSE_SECONDS)
        for stream in hub.of_host(id_):
            stream.push(MUTATIONS)
