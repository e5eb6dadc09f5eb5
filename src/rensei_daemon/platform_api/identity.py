"""The identity of this host at the platform: its worker id and its runtime token.

Every task takes both from here, and reports here when they are refused. This module opens
no file: it is given what was saved, and calls `save` after every change.
"""

import math
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

import anyio
import structlog

from rensei_daemon.clock import boot_seconds
from rensei_daemon.core.backoff import Backoff, Draw
from rensei_daemon.core.duplicate_host import EarlyTokenRefusals
from rensei_daemon.core.worker import Registration, Worker, organisation
from rensei_daemon.errors import PlatformError, RefusedError, TransientError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.platform_api import worker_registration
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.platform_api.http import Http, utc_now
from rensei_daemon.platform_api.worker_registration import Granted

ASSUMED_LIFETIME_SECONDS = 3600.0
EARLY_SECONDS = 300.0
"""A token is refreshed this long before it expires."""
SOONEST_SECONDS = 10.0
RETRY_SECONDS = 60.0
WITHOUT_TOKEN_RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)
"""Delays between requests for a token while there is none."""
REREGISTER_SECONDS = 60.0
"""At most one new registration in this time: each leaves a worker at the platform."""

_draw = random.SystemRandom().uniform
_log = structlog.get_logger()


class Identity:
    """Registers this host as a worker when first needed, and keeps its token fresh."""

    def __init__(
        self,
        http: Http,
        *,
        key: ActiveApiKey,
        describe: Callable[[], Registration],
        saved: Worker | None,
        save: Callable[[Worker], Awaitable[None]],
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = boot_seconds,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        draw: Draw = _draw,
    ) -> None:
        """Start with the `saved` worker, if this machine registered it.

        `describe` is called for each registration; `save` is awaited after every change
        and handles its own errors. `now` is wall time and used only for expiry; `clock`
        is monotonic, includes the time of a suspended machine, and times everything else.
        """
        self.key = key
        self.is_old = False
        """Whether the platform knows only the older endpoints."""
        self._http = http
        self.describe = describe
        self._save = save
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._lock = anyio.Lock()
        self._attempts = 0
        self._failure: PlatformError | None = None
        self._reregister_after = -math.inf
        self._refresh_at = math.inf
        self._retry = WITHOUT_TOKEN_RETRY
        self._nap = anyio.CancelScope()
        """The sleep of `keep_fresh`."""
        self._registered = anyio.Event()
        self._worker: Worker | None = None
        self._lacks_token = False
        """The token was lost in a reboot. Not true of a worker whose bearer is the key."""
        self._taken_at = -math.inf
        self._refusals = EarlyTokenRefusals()
        if saved is not None and saved.machine_id == describe().machine_id:
            self._restore(saved)

    @property
    def worker(self) -> Worker | None:
        """The worker; None before the first registration."""
        return self._worker

    @property
    def worker_id(self) -> str:
        """The worker's id; empty before the first registration."""
        return self._worker.id if self._worker else ""

    @property
    def is_registered_with_other_projects(self) -> bool:
        """Whether the project set has changed since the registration."""
        registered = self._worker.registered_report if self._worker else None
        return registered is not None and registered != self.describe().report.hash

    @property
    def org_id(self) -> str:
        """The organisation of the runtime token, or of the last one if there is none.

        Empty before the first token.
        """
        worker = self._worker
        return (organisation(worker.token) or worker.org_id) if worker else ""

    def bearer(self, worker: Worker) -> str:
        """Return the bearer of the worker: its token, or the key if it has none."""
        return worker.token or self.key.value

    async def enrolled(self) -> Worker:
        """Return the worker, after registering it if there is none.

        A saved worker without a token is refreshed, once: after that the key is its bearer
        until `keep_fresh` gets a token. Raises what `_register` raises.
        """
        worker = self._worker
        if worker is None:
            return await self._alone(self._register)
        if not worker.token and not self._attempts:
            return await self.refresh(worker)  # lost in a reboot
        return worker

    async def organisation(self) -> str:
        """Return the organisation, after fetching a missing token if none is known.

        Empty if no token names one. Raises what `_register` and `_refresh` raise.
        """
        worker = await self.enrolled()
        if not self.org_id and self._lacks_token:
            await self.refresh(worker)
        return self.org_id

    def retry_now(self) -> None:
        """Request a missing token now, because the platform answers again."""
        if self._lacks_token:
            self._retry, self._refresh_at = WITHOUT_TOKEN_RETRY, self._clock()
        self._nap.cancel()

    @property
    def is_contested(self) -> bool:
        """Whether another host seems to invalidate the tokens of this worker repeatedly."""
        return self._refusals.is_contested(self._clock())

    async def replace_refused(self, used: Worker) -> Worker:
        """Return a worker to use in place of a refused one; like `refresh`."""
        if used == self._worker:
            age = self._clock() - self._taken_at
            self._refusals.note(age_seconds=age, now=self._clock())
        return await self.refresh(used)

    async def refresh(self, used: Worker) -> Worker:
        """Return a worker with another token than `used` has.

        Concurrent calls share one request and its result, be it an error; a token that was
        replaced already needs none. A worker that the platform does not know is registered
        again and gets another id. After any other failure the old worker stays.
        """
        if self._worker is not None and self._worker != used:
            return self._worker
        return await self._alone(lambda: self._refresh(used))

    async def register_projects(self) -> Worker:
        """Register again with the current project set; raises what `_register` raises."""
        return await self._alone(self._register)

    async def until_registered(self) -> None:
        """Wait until there is a worker."""
        await self._registered.wait()

    async def keep_fresh(self) -> None:
        """Refresh the token five minutes before it expires; never return.

        A missing token is requested until there is one.
        """
        await self._registered.wait()
        failures = FailureReporter(clock=self._clock)
        while True:
            with anyio.CancelScope() as self._nap:
                await self._sleep(max(0.0, self._refresh_at - self._clock()))
            worker = self._worker
            if worker is None:
                continue
            try:
                if self._clock() >= self._refresh_at:  # no other task has refreshed it
                    await self.refresh(worker)
            except PlatformError as error:
                self._refresh_at = self._clock() + self._retry_seconds()
                failures.report_error("token.refresh_failed", error)
            else:
                failures.report_recovery("token.recovered")

    def _retry_seconds(self) -> float:
        if not self._lacks_token:
            return RETRY_SECONDS
        wait, self._retry = self._retry.next(self._draw)
        return wait

    async def _alone(self, action: Callable[[], Awaitable[None]]) -> Worker:
        """Run the action, or share the result of one that ran while this call waited."""
        seen = self._attempts
        async with self._lock:
            if self._attempts == seen:
                try:
                    await action()
                except PlatformError as error:
                    self._failure = error
                else:
                    self._failure = None
                self._attempts += 1  # not when cancelled: the next caller runs the action
            if self._failure is not None:
                raise self._failure
            assert self._worker is not None  # noqa: S101 - every action that succeeds sets it
            return self._worker

    async def _refresh(self, used: Worker) -> None:
        worker = self._worker or used
        try:
            granted = await worker_registration.refresh(self._http, self.key, worker)
        except RefusedError as error:
            if error.status not in worker_registration.NO_SUCH_ENDPOINT:
                raise
            await self._reregister()
            return
        await self._adopt(
            granted,
            machine_id=worker.machine_id,
            registered_report=worker.registered_report,
        )
        _log.info("token.refreshed", worker_id=worker.id)

    async def _reregister(self) -> None:
        if self._clock() < self._reregister_after:
            raise TransientError(
                "the platform does not know this worker; a new registration was tried "
                "less than a minute ago, so not again yet"
            )
        # Set before the request: it may create a worker even if its answer is lost.
        self._reregister_after = self._clock() + REREGISTER_SECONDS
        await self._register()

    async def _register(self) -> None:
        registration = self.describe()
        granted = await worker_registration.register(self._http, self.key, registration)
        self.is_old = granted.by_old_endpoint
        await self._adopt(
            granted,
            machine_id=registration.machine_id,
            registered_report=registration.report.hash,
        )
        _log.info("worker.registered", worker_id=granted.worker_id)

    async def _adopt(
        self, granted: Granted, *, machine_id: str, registered_report: str | None
    ) -> None:
        worker = granted.worker(
            self._worker,
            machine_id=machine_id,
            registered_report=registered_report,
            is_loopback=self._http.is_loopback,
        )
        # Saved before use, so that a crash does not lead to a second registration.
        await self._save(worker)
        self._lacks_token = False
        self._take(worker, answered_at=granted.answered_at)

    def _restore(self, saved: Worker) -> None:
        """Use the worker of an earlier run; a wrong wall clock delays no refresh."""
        self._take(saved, answered_at=self._now())
        self._lacks_token = not saved.token
        longest = 0.0 if self._lacks_token else ASSUMED_LIFETIME_SECONDS - EARLY_SECONDS
        self._refresh_at = min(self._refresh_at, self._clock() + longest)

    def _take(self, worker: Worker, *, answered_at: datetime) -> None:
        """Use this worker; its token's lifetime counts from `answered_at`."""
        lifetime = ASSUMED_LIFETIME_SECONDS
        if worker.token_expires_at is not None:
            lifetime = (worker.token_expires_at - answered_at).total_seconds()
        due = max(lifetime - EARLY_SECONDS, SOONEST_SECONDS)
        self._refresh_at = self._clock() + due
        self._worker = worker
        self._taken_at = self._clock()
        self._registered.set()
