"""Keeping what is in force for the next start: the text, and which API key it ran with."""

import anyio
import anyio.to_thread

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.document import Document
from rensei_daemon.core.retry_policy import RETRY
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.errors import StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.tasks.configuration import Configuration
from rensei_daemon.tasks.wake_event import WakeEvent

AT_LEAST_SECONDS = 0.25
"""Between two tries."""


async def keep_last_good(
    configuration: Configuration, key: ActiveApiKey, file: LastGoodConfig, *, draw: Draw
) -> None:
    """Write down text and key whenever either has changed; never returns.

    To be started once the daemon is ready. A text whose platform.url waits for a restart
    was never in force with this key, and is not kept. A full disk is others' to report.
    """
    changed, failures, retry = WakeEvent(), FailureReporter(), RETRY
    configuration.on_change(changed.set)
    key.on_change = changed.set
    kept: tuple[Document, str] | None = None
    while True:
        wait, in_force = None, (configuration.document, key.value)
        if in_force != kept and configuration.url_is_in_force:
            try:
                await anyio.to_thread.run_sync(file.save, *in_force)
            except StorageError as error:
                delay, retry = retry.next(draw)
                wait = max(delay, AT_LEAST_SECONDS)
                failures.report_error("config.last_good_not_kept", error)
            else:
                kept, retry = in_force, RETRY
                failures.report_recovery("config.last_good_kept")
        await changed.wait(within=wait)
