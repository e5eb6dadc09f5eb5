"""Hosts that a mutation waits for: each hears of it on a stream that names its worker.

The event says nothing but that: the host sends a heartbeat, and is answered as always. One
that is lost costs the time until the next heartbeat, and nothing else.
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
    """Tell hosts that a mutation waits for them, for ever."""
    while True:
        await announce(platform.hub, await platform.pending_hosts.wait())


async def announce(hub: Hub, host_ids: Collection[str]) -> None:
    """Tell those of the hosts that listen here, a few at a time."""
    listening = [stream for id_ in host_ids if (stream := hub.of_host(id_)) is not None]
    for number, stream in enumerate(listening):
        if number and number % HOSTS_AT_ONCE == 0:
            await anyio.sleep(PAUSE_SECONDS)
        stream.push(MUTATIONS)
