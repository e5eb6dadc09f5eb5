"""Who this host is to the platform: the one owner of worker id and runtime token.

Every lane takes both from here and brings them back when they are refused. This module
keeps nothing on disk: it is handed what was saved, and hands back what is to be saved.
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
"""How soon a worker that has no token at all asks for one again."""
REREGISTER_SECONDS = 60.0
"""At most one new registration in this time; each leaves a worker behind."""

_draw = random.SystemRandom().uniform
_log = structlog.get_logger()


class Identity:
    """The worker this host is, registered when first needed and refreshed ever after."""

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
        """Start from `saved`, if this machine is the one that registered it.

        `describe` is asked anew for each registration; `save` is awaited after every
        change and answers for its own errors. `now` is wall time, for expiry alone;
        `clock` never goes back, counts the time of a suspended machine, and everything
        that waits goes by it.
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
        """Around the sleep of `keep_fresh`."""
        self._registered = anyio.Event()
        self._worker: Worker | None = None
        self._lacks_token = False
        """A reboot took it. A worker whose key is its bearer does not lack one."""
        self._taken_at = -math.inf
        self._refusals = EarlyTokenRefusals()
        if saved is not None and saved.machine_id == describe().machine_id:
            self._restore(saved)

    @property
    def worker(self) -> Worker | None:
        """The worker as it stands; None before the first registration."""
        return self._worker

    @property
    def worker_id(self) -> str:
        """The worker's id; empty before the first registration."""
        return self._worker.id if self._worker else ""

    @property
    def is_registered_with_other_projects(self) -> bool:
        """Whether today's project set differs from the one this worker registered."""
        registered = self._worker.registered_report if self._worker else None
        return registered is not None and registered != self.describe().report.hash

    @property
    def org_id(self) -> str:
        """The organisation of the runtime token, or of the last one while there is none.

        Empty before the first token.
        """
        worker = self._worker
        return (organisation(worker.token) or worker.org_id) if worker else ""

    def bearer(self, worker: Worker) -> str:
        """Return what the worker's endpoints take: its token, or the key without one."""
        return worker.token or self.key.value

    async def enrolled(self) -> Worker:
        """Return the worker, registering it first if there is none.

        Raises what registering raises; a saved worker without a token is refreshed, once:
        after that the key is its bearer until `keep_fresh` has a token for it.
        """
        worker = self._worker
        if worker is None:
            return await self._alone(self._register)
        if not worker.token and not self._attempts:
            return await self.refresh(worker)  # a reboot took the token
        return worker

    async def organisation(self) -> str:
        """Return the organisation, with a token first if that is the way to learn it.

        Raises what registering and refreshing raise. Empty when no token names one.
        """
        worker = await self.enrolled()
        if not self.org_id and self._lacks_token:
            await self.refresh(worker)
        return self.org_id

    def retry_now(self) -> None:
        """Ask for a missing token now: the platform is known to answer."""
        if self._lacks_token:
            self._retry, self._refresh_at = WITHOUT_TOKEN_RETRY, self._clock()
        self._nap.cancel()

    @property
    def is_contested(self) -> bool:
        """Whether another host seems to take this worker's tokens away, again and again."""
        return self._refusals.is_contested(self._clock())

    async def replace_refused(self, used: Worker) -> Worker:
        """Return a worker to use in place of one that was refused; as `refresh`."""
        if used == self._worker:
            age = self._clock() - self._taken_at
            self._refusals.note(age_seconds=age, now=self._clock())
        return await self.refresh(used)

    async def refresh(self, used: Worker) -> Worker:
        """Return a worker with another token than the one that was used.

        One lane refreshes; whoever comes meanwhile, or with what was replaced already,
        gets the same result, be it an error. A worker the platform has forgotten is
        registered anew and gets another id. After any other failure the old one stays.
        """
        if self._worker is not None and self._worker != used:
            return self._worker
        return await self._alone(lambda: self._refresh(used))

    async def register_projects(self) -> Worker:
        """Register anew with today's project set; raises what registering raises."""
        return await self._alone(self._register)

    async def until_registered(self) -> None:
        """Wait until there is a worker."""
        await self._registered.wait()

    async def keep_fresh(self) -> None:
        """Refresh the token five minutes before it expires, for ever; never returns.

        A missing one is asked for until there is one.
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
                if self._clock() >= self._refresh_at:  # no other lane has refreshed it
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
        """Run the action, or share the outcome of the one that ran while we waited."""
        seen = self._attempts
        async with self._lock:
            if self._attempts == seen:
                try:
                    await action()
                except PlatformError as error:
                    self._failure = error
                else:
                    self._failure = None
                self._attempts += 1  # not when cancelled: then the next one acts
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
        # Counted before it is tried: one whose answer is lost leaves a worker behind too.
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
        pace = granted.heartbeat_seconds
        if pace is not None:
            pace = min(pace if self._http.is_loopback else max(pace, 5.0), 300.0)
        if pace is None and self._worker is not None:
            pace = self._worker.heartbeat_seconds
        org_id = organisation(granted.token)
        if self._worker is not None and self._worker.id == granted.worker_id:
            org_id = org_id or self._worker.org_id
        worker = Worker(
            id=granted.worker_id,
            machine_id=machine_id,
            token=granted.token,
            token_expires_at=granted.expires_at,
            heartbeat_seconds=pace,
            org_id=org_id,
            host_id=granted.host_id or (self._worker.host_id if self._worker else ""),
            registered_report=registered_report,
        )
        # Saved first: a worker in use that a crash forgets is registered a second time.
        await self._save(worker)
        self._lacks_token = False
        self._take(worker, answered_at=granted.answered_at)

    def _restore(self, saved: Worker) -> None:
        """Take a worker of an earlier run; a wall clock that is off delays no refresh."""
        self._take(saved, answered_at=self._now())
        self._lacks_token = not saved.token
        longest = 0.0 if self._lacks_token else ASSUMED_LIFETIME_SECONDS - EARLY_SECONDS
        self._refresh_at = min(self._refresh_at, self._clock() + longest)

    def _take(self, worker: Worker, *, answered_at: datetime) -> None:
        """Make this the worker, and count its token's life from when it was given."""
        lifetime = ASSUMED_LIFETIME_SECONDS
        if worker.token_expires_at is not None:
            lifetime = (worker.token_expires_at - answered_at).total_seconds()
        due = max(lifetime - EARLY_SECONDS, SOONEST_SECONDS)
        self._refresh_at = self._clock() + due
        self._worker = worker
        self._taken_at = self._clock()
        self._registered.set()
