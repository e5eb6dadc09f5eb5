"""The calls of the daemon to the platform: heartbeats, snapshots and streams."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import quote

from rensei_daemon.core.heartbeat import Beat, BeatAnswer
from rensei_daemon.core.session import Session
from rensei_daemon.core.worker import Worker
from rensei_daemon.errors import RefusedError, TransientError, UnauthorizedError
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.long_work import run_by_size
from rensei_daemon.platform_api import wire
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.platform_api.stream import EventStream, open_stream
from rensei_daemon.platform_api.wire import Snapshot

OLD_HEARTBEAT = "/v1/daemon/heartbeat"


class PlatformClient:
    """The platform as this worker calls it; keeps no state."""

    def __init__(self, http: Http, identity: Identity) -> None:
        self._http = http
        self._identity = identity

    @property
    def url(self) -> str:
        """The url of the platform."""
        return self._http.url

    async def heartbeat(self, beat: Beat) -> BeatAnswer:
        """Send a heartbeat, after registering this host if necessary.

        A heartbeat that is refused (401, 404, a redirect) is sent once more with a new
        token, and without what needs an offer: the refusal made none. The answer names the
        worker that sent it. Raises
        `TransientError`, also for an unreadable answer, so that no ack is lost;
        `UnauthorizedError`; `RefusedError`.
        """
        worker = await self._identity.enrolled()
        try:
            return await self._beat(worker, beat)
        except UnauthorizedError:
            pass
        except RefusedError as refusal:
            if refusal.status != 404:
                raise
        again = replace(beat, uptake=None)
        return await self._beat(await self._identity.replace_refused(worker), again)

    async def _beat(self, worker: Worker, beat: Beat) -> BeatAnswer:
        is_old = self._identity.is_old
        if is_old:
            path = OLD_HEARTBEAT
            body = wire.old_beat_body(beat, self._identity.describe(), worker_id=worker.id)
        else:
            path = f"/api/workers/{quote(worker.id, safe='')}/heartbeat"
            body = wire.beat_body(beat)
        bearer = self._identity.bearer(worker)
        answer = await self._http.call("POST", path, bearer=bearer, body=body)
        read = partial(
            wire.beat_answer, answer.body, worker_id=worker.id, url=self._http.url
        )
        found = await run_by_size(read, size=answer.size)
        return replace(
            found,
            carried_acks=not is_old,
            carried_uptake=not is_old and beat.uptake is not None,
            answered_at=answer.date,
        )

    async def snapshot(self, session: Session) -> Snapshot:
        """Fetch every value of the session.

        Raises `UnauthorizedError` when the platform refuses the key, also after it was
        read again; `RefusedError` (403: another organisation's session); `TransientError`.
        """
        org_id = session.org_id or await self._identity.organisation()
        if not org_id:
            raise TransientError(
                "the runtime token names no organisation", hint="set platform.org_id"
            )
        body = wire.snapshot_body(session, org_id=org_id)
        answer = await self._identity.key.ask(
            lambda key: self._http.call("POST", wire.SNAPSHOT, bearer=key, body=body)
        )
        at = answer.date or self._http.now()
        read = partial(wire.snapshot, answer.body, answered_at=at)
        return await run_by_size(read, size=answer.size)

    @asynccontextmanager
    async def stream(
        self, session_id: str, *, worker_id: str | None = None
    ) -> AsyncIterator[EventStream]:
        """Connect to the session's rotate stream; the key is read again if refused.

        `worker_id` has it announce the worker's mutations, too. Raises what `open_stream`
        raises.
        """
        key = self._identity.key
        async with AsyncExitStack() as stack:
            stream = await key.ask(
                lambda bearer: stack.enter_async_context(
                    open_stream(self._http, session_id, bearer, worker_id=worker_id)
                )
            )
            yield stream
