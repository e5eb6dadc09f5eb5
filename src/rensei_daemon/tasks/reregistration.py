"""Registers again when the projects are no longer those that this host registered with.

The next heartbeat carries the changed report. A public document says that only a
registration changes the platform's own list of a host's projects, so both are sent.
"""

import anyio

from rensei_daemon.errors import PlatformError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.wake_event import WakeEvent

EVERY_SECONDS = 60.0
"""At most one registration in this time; it carries all changes since the last one."""


async def keep_registered(
    identity: Identity,
    configuration: Configuration,
    *,
    every_seconds: float = EVERY_SECONDS,
) -> None:
    """Register the projects whenever they have changed; never return.

    The first heartbeat makes the first registration.
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
