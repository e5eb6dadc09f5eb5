"""Registering anew when the project set is no longer the one this host registered with.

A changed report travels with the next beat; one public document says that only a
registration moves the platform's own list of a host's projects, so both are sent.
"""

import anyio

from rensei_daemon.errors import PlatformError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.tasks.configuration import Configuration
from rensei_daemon.tasks.wake_event import WakeEvent

EVERY_SECONDS = 60.0
"""At most one registration in this time; changes in between are registered together."""


async def keep_registered(
    identity: Identity,
    configuration: Configuration,
    *,
    every_seconds: float = EVERY_SECONDS,
) -> None:
    """Register the project set whenever it has changed; never returns.

    The first registration is not ours: the first beat brings it.
    """
    await identity.until_registered()
    changed, failures = WakeEvent(), FailureReporter()
    configuration.on_change(changed.set)
    changed.set()  # the file may have changed while no daemon ran
    while True:
        await changed.wait()
        if not identity.is_registered_with_other_projects:
            continue
        try:
            await identity.register_projects()
        except PlatformError as error:
            failures.report_error("worker.projects_not_registered", error)
            changed.set()
        else:
            failures.report_recovery()
        await anyio.sleep(every_seconds)
