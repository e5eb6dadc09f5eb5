"""A real control plane in a thread of its own, as another process would be.

    test --> PlatformThread --> the application, called directly: no fault is in the way
    daemon --> loopback --> Faults --> RequestLog --> the application

A call returns when it is done. What is stored is read from the database; what came over
the network is in `log`. `until` waits in the caller's event loop.
"""

import dataclasses
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from changes import Changes
from faults import Faults
from platform_operator import PlatformOperator
from platform_server import NO_TLS
from platform_template import Template, founded, key_file_of, sqlite_url
from request_log import RequestLog
from starlette.types import Receive, Scope, Send
from stored_rows import StoredRows

from rensei_platform.bus.hub import Stream
from rensei_platform.http.app import build_app
from rensei_platform.http.server import DIRECT, Exposure, listen, serving, url_of
from rensei_platform.ids import new_id
from rensei_platform.master_key import create_master_key_file
from rensei_platform.rules.times import wire_time
from rensei_platform.sealing import Sealer
from rensei_platform.services.opening import opened
from rensei_platform.services.platform import Platform, utc_now
from rensei_platform.settings import ServerSettings
from rensei_platform.tokens import Tokens


class PlatformThread(PlatformOperator):
    """A control plane that answers at `url`; its methods act as its operator."""

    def __init__(
        self,
        portal: BlockingPortal,
        directory: Path,
        settings: ServerSettings,
        template: Template,
    ) -> None:
        template.copy_to(sqlite_url(directory), key_file_of(directory))
        super().__init__(template.owner_key)
        self.url = ""
        """Like `http://127.0.0.1:40123`."""
        self.changes = Changes()
        self.log = RequestLog(self.changes)
        self.faults = Faults(self.changes, portal.call)
        self.database = sqlite_url(directory)
        self.rows = StoredRows(self.database)
        self._portal = portal
        self._directory = directory
        self._settings = settings

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is evaluated after each request and response."""
        await self.changes.until(condition)

    def ask_as(self, key: str, method: str, path: str, body: Any = None) -> Any:
        """Call the application with a key, and return its answer's JSON."""
        return self._portal.call(self._ask, method, path, body, key)

    async def _ask(self, method: str, path: str, body: Any, key: str) -> Any:
        # In ASCII, so that it can hold what is no Unicode text.
        content = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {key}"}
        response = await self._client.request(
            method, path, content=content, headers=headers
        )
        assert response.is_success, (response.status_code, response.text)
        return response.json()

    # ---- what only a test does -----------------------------------------------------------

    def configure(self, **settings: Any) -> None:
        """Change settings of the running server."""
        self._settings = dataclasses.replace(self._settings, **settings)
        self._portal.call(self._replace, {"settings": self._settings})

    def invalidate_tokens(self) -> None:
        """Have every runtime token that was issued so far refused."""
        key_file = self._directory / new_id("key")
        create_master_key_file(key_file)
        sealer = Sealer.from_file(key_file)
        tokens = Tokens(sealer, self._settings.token_lifetime)
        self._portal.call(self._replace, {"tokens": tokens})

    @property
    def streams(self) -> list[Stream]:
        """The streams of sessions that are open."""
        return [stream for stream in self.all_streams if stream.session_id]

    @property
    def all_streams(self) -> list[Stream]:
        """The streams that are open, those for mutations alone included."""
        return self._portal.call(lambda: list(self._platform.hub.all()))

    def drop_streams(self) -> int:
        """End every stream, and return how many there were."""
        count = len(self.streams)
        self._portal.call(self._platform.hub.end_all)
        return count

    def end_stream(self, stream: Stream) -> None:
        """End one stream."""
        self._portal.call(stream.end)

    def send_update(self, session_id: str | None = None, **values: str) -> None:
        """Send values on every stream, or on those of one session; store nothing."""
        update = {"type": "UPDATE", "delta": values, "rotatedAt": wire_time(utc_now())}
        frame = f"event: UPDATE\ndata: {json.dumps(update)}\n\n".encode()
        self.push(frame, session_id=session_id)

    def push(self, *frames: bytes, session_id: str | None = None) -> None:
        """Send these frames on every stream, or on those of one session."""
        self._portal.call(self._push, frames, session_id)

    def _push(self, frames: tuple[bytes, ...], session_id: str | None) -> None:
        for stream in self._platform.hub.all():
            if session_id in (None, stream.session_id):
                for frame in frames:
                    stream.push(frame)

    async def _replace(self, resources: dict[str, Any]) -> None:
        self._use(dataclasses.replace(self._platform, **resources))

    # ---- its life ------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(self, address: str, exposure: Exposure) -> AsyncIterator[None]:
        """Serve while the block runs; in the thread of the server."""
        url, key_file = sqlite_url(self._directory), key_file_of(self._directory)
        async with opened(url, self._settings, key_file) as platform:
            self._use(platform)
            app = self.faults.wrap(self.log.wrap(self._current_app))
            with listen(address, 0) as listener:
                self.url = url_of(listener, exposure)
                async with serving(platform, listener, app, exposure):
                    yield

    def _use(self, platform: Platform) -> None:
        self._platform = platform
        self._app = build_app(platform)
        self._client = httpx.AsyncClient(
            base_url="http://localhost",
            transport=httpx.ASGITransport(self._app),
            verify=NO_TLS,
        )

    async def _current_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@contextmanager
def running_platform(
    settings: ServerSettings | None = None,
    *,
    address: str = "127.0.0.1",
    exposure: Exposure = DIRECT,
    template: Template | None = None,
) -> Iterator[PlatformThread]:
    """Serve a control plane with one organization while the block runs."""
    with (
        tempfile.TemporaryDirectory(prefix="platform-") as directory,
        start_blocking_portal(backend_options={"use_uvloop": True}) as portal,
    ):
        platform = PlatformThread(
            portal, Path(directory), settings or ServerSettings(), template or founded()
        )
        with (
            closing(platform.rows),
            portal.wrap_async_context_manager(platform.serving(address, exposure)),
        ):
            try:
                yield platform
            finally:
                platform.faults.clear()


@cache
def _enrolled(host: str) -> tuple[Template, dict[str, Any]]:
    """Return a template in which there is a host, and the answer that made its key."""
    with running_platform() as platform:
        platform.add_host(host)
        made = platform.make_key()
        return founded().with_rows_of(platform.database), made


@contextmanager
def platform_with_host(
    settings: ServerSettings, host: str
) -> Iterator[tuple[PlatformThread, str]]:
    """Serve a control plane that has a host, before it registers; lend it and its key."""
    template, made = _enrolled(host)
    with running_platform(settings, template=template) as platform:
        yield platform, platform.know_key(made)
