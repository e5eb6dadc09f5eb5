"""The host's own stream, on which it hears that a mutation waits.

It is open only while no session's stream brings that event. What it brings is no more than
a request for a heartbeat, so a failure costs time and is only logged.
"""

import anyio

from rensei_daemon.core.backoff import Draw
from rensei_daemon.errors import PlatformError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.mutation_events import MutationEvents
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.reconnector import Reconnector
from rensei_daemon.platform_api.stream import EventStream, MutationsWaiting

SLOW_SECONDS = 300.0
"""Until the next attempt, if the platform refuses such a stream."""


async def listen_for_mutations(
    events: MutationEvents, client: PlatformClient, draw: Draw
) -> None:
    """Keep the stream open whenever the host needs one; never return."""
    failures = FailureReporter()
    reconnector = Reconnector(draw, not_found_seconds=SLOW_SECONDS)
    while True:
        worker_id = await events.wait_needed()
        opened, stream, failure = None, None, None
        try:
            async with client.stream(worker_id, worker_id=worker_id) as stream:
                opened = anyio.current_time()
                failures.report_recovery("announcements.recovered")
                await _listen(stream, events)
        except PlatformError as error:
            failure = error
            failures.report_failure("announcements.failed", error=str(error))
        wait = reconnector.wait_after(
            stream,
            failure,
            lived_seconds=None if opened is None else anyio.current_time() - opened,
            has_delivered=opened is not None,
        )
        await anyio.sleep(wait)


async def _listen(stream: EventStream, events: MutationEvents) -> None:
    """Handle events until the stream ends, or a session's brings them."""
    with anyio.CancelScope() as scope, events.own_stream(scope.cancel):
        async for event in stream:
            if isinstance(event, MutationsWaiting):
                events.arrived()
