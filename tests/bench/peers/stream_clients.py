"""Clients of event streams as their own pages show them; each prints the values it gets.

    stream_clients.py LIBRARY URL

`httpx-sse` leaves it to its user to connect again; the loop around it is the shortest.
"""

import asyncio
import json
import sys


def launchdarkly(url: str) -> None:
    """launchdarkly-eventsource, which goes on after every error."""
    from ld_eventsource import SSEClient
    from ld_eventsource.config import ConnectStrategy, ErrorStrategy

    connect = ConnectStrategy.http(url)
    client = SSEClient(connect=connect, error_strategy=ErrorStrategy.always_continue())
    for event in client.events:
        show(event.data)


def aiohttp(url: str) -> None:
    """aiohttp-sse-client, which connects again by itself."""
    from aiohttp_sse_client.client import EventSource

    async def read() -> None:
        async with EventSource(url) as source:
            async for event in source:
                show(event.data)

    asyncio.run(read())


def httpx(url: str) -> None:
    """httpx-sse without a limit of reading, in a loop."""
    import httpx as library
    from httpx_sse import aconnect_sse

    async def read() -> None:
        async with library.AsyncClient(timeout=None) as client:
            while True:
                try:
                    async with aconnect_sse(client, "GET", url) as source:
                        async for event in source.aiter_sse():
                            show(event.data)
                except Exception as error:  # whatever it raises, the user goes on
                    print(type(error).__name__, file=sys.stderr)
                await asyncio.sleep(1)

    asyncio.run(read())


def show(data: str) -> None:
    """Print the value of an event."""
    if data:
        print(json.loads(data)["delta"]["TOKEN"], flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
