"""Saves the text in force, and which API key it ran with, for the next start."""

from functools import partial

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.document import Document
from rensei_daemon.core.retry_policy import RETRY
from rensei_daemon.disk.last_good_config import LastGoodConfig
from rensei_daemon.errors import StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.long_work import run_in_thread
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.wake_event import WakeEvent

AT_LEAST_SECONDS = 0.25
"""The shortest time between two attempts."""


async def keep_last_good(
    configuration: Configuration, key: ActiveApiKey, file: LastGoodConfig, *, draw: Draw
) -> None:
    """Save text and key whenever either has changed; never return.

    Start it once the daemon is ready. A text whose platform.url waits for a restart has not
    run with this key, and is not saved. No alarm is raised: a full disk raises others.
    """
    changed, failures, retry = WakeEvent(), FailureReporter(), RETRY
    configuration.on_change(changed.set)
    key.on_change = changed.set
    kept: tuple[Document, str] | None = None
    while True:
        wait, in_force = None, (configuration.document, key.value)
        if in_force != kept and configuration.url_is_in_force:
            try:
                await run_in_thread(partial(file.save, *in_force))
            except StorageError as error:
                delay, retry = retry.next(draw)
                wait = max(delay, AT_LEAST_SECONDS)
                failures.report_error("config.last_good_not_kept", error)
            else:
                kept, retry = in_force, RETRY
                failures.report_recovery("config.last_good_kept")
        await changed.wait(within=wait)
