"""This host's identity at the platform: opened, saved, and registered with its projects.

The next heartbeat carries a changed report of the projects. A public document says that
only a registration changes the platform's own list of them, so both are sent.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from rensei_daemon import __version__
from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.retry_policy import RETRY
from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.core.worker import Registration, Worker
from rensei_daemon.disk.api_key import ApiKey, read_api_key
from rensei_daemon.disk.host_info import host_info
from rensei_daemon.disk.identity_file import IdentityFile, machine_id
from rensei_daemon.errors import PlatformError, StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.wake_event import WakeEvent

CAPABILITIES = ("local",)

EVERY_SECONDS = 60.0
"""At most one registration in this time; it carries all changes since the last one."""


class IdentitySaver:
    """Saves the worker that this host is, and retries until that succeeds.

    A full disk must not cost the host its token: the token is used meanwhile, and the board
    shows the failure. If it is never saved, the next daemon registers a second time.
    """

    def __init__(
        self,
        file: IdentityFile,
        board: Board,
        *,
        register_secrets: Callable[[Iterable[str]], None],
    ) -> None:
        """`register_secrets` is called with every runtime token, to redact it in logs."""
        self._file = file
        self._register_secrets = register_secrets
        self._owed: Worker | None = None
        self._failed = WakeEvent()
        self._lock = anyio.Lock()
        self._failures = FailureReporter(board=board, subject="identity")

    def read(self) -> Worker | None:
        """Return the worker saved last; None if absent or malformed."""
        saved = self._file.read()
        if saved is not None:
            self._register_secrets([saved.token])
        return saved

    async def save(self, worker: Worker) -> None:
        """Save the worker, now or as soon as possible."""
        self._register_secrets([worker.token])
        self._owed = worker
        await self._try(worker)

    async def run(self, draw: Draw) -> None:
        """Retry what failed; never return."""
        while True:
            await self._failed.wait()
            retry = RETRY
            while self._owed is not None:
                wait, retry = retry.next(draw)
                await anyio.sleep(wait)
                if self._owed is not None:
                    await self._try(self._owed)

    async def _try(self, worker: Worker) -> None:
        async with self._lock:  # an older worker must not overwrite a newer one
            if worker is self._owed:
                await self._save(worker)

    async def _save(self, worker: Worker) -> None:
        try:
            await anyio.to_thread.run_sync(self._file.save, worker)
        except StorageError as error:
            self._failures.report_error("worker.not_saved", error, alarm=Code.STORAGE)
            self._failed.set()
            return
        self._failures.report_recovery("worker.saved")
        if self._owed is worker:
            self._owed = None


def open_identity(
    http: Http,
    saver: IdentitySaver,
    configuration: Configuration,
    *,
    started_at: datetime,
    environ: Mapping[str, str],
    machine_id_file: Path,
    scrub: Scrubber,
    draw: Draw,
) -> Identity:
    """Return the identity of this host, as it was saved; raise `SettingsError`.

    `scrub` is given the API key.
    """
    machine = machine_id(environ=environ, fallback=machine_id_file)
    key = ActiveApiKey(
        partial(_read_key, configuration, environ, scrub),
        approve=configuration.require_chosen_url,
    )
    return Identity(
        http,
        key=key,
        describe=partial(_describe, configuration, machine, started_at),
        saved=saver.read(),
        save=saver.save,
        draw=draw,
    )


def _describe(
    configuration: Configuration, machine: str, started_at: datetime
) -> Registration:
    settings = configuration.settings
    return Registration(
        machine_id=machine,
        hostname=settings.machine.name,
        capacity=max(1, settings.machine.max_sessions),
        version=__version__,
        report=configuration.report,
        region=settings.machine.region or "",
        capabilities=CAPABILITIES,
        host=host_info(version=__version__, started_at=started_at),
    )


def _read_key(
    configuration: Configuration, environ: Mapping[str, str], scrub: Scrubber
) -> ApiKey:
    file = configuration.settings.platform.api_key_file
    key = read_api_key(environ=environ, api_key_file=file)
    scrub.register("the API key", [key.secret])
    return key


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
