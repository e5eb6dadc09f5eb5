"""A raw server on loopback that sends scripted bytes, and a client for it."""

import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, Listener
from anyio.streams.tls import TLSListener
from needs import need

from rensei_daemon.core.admission import report_from
from rensei_daemon.core.heartbeat import Acks, Beat
from rensei_daemon.core.worker import HostInfo, Registration, Worker
from rensei_daemon.disk.api_key import ApiKey, ApiKeySource
from rensei_daemon.errors import SettingsError
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.platform_api.identity import Identity

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
Step = bytes | anyio.Event
"""Bytes to send, or what to wait for before going on."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def bearer(self) -> str:
        """The bearer of the request."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


@dataclass(slots=True)
class FaultServer:
    """Answers each request with the next scripted response for its path, then closes."""

    port: int
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)
    plans: dict[str, list[Sequence[Step]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def plan(self, path: str, *answers: bytes | Sequence[Step]) -> None:
        """Answer requests whose path contains this text; the last answer is repeated."""
        self.plans[path] = [[a] if isinstance(a, bytes) else a for a in answers]

    def asked(self, path: str) -> list[Received]:
        """Return the requests whose path contains this text."""
        return [request for request in self.received if path in request.path]

    @staticmethod
    def say(
        status: int, body: object = None, *, content: bytes | None = None, **headers: str
    ) -> bytes:
        """Return an HTTP response; `content` is sent as it is, `body` as JSON."""
        payload = json.dumps(body).encode() if content is None else content
        fields = {"content_type": "application/json", **headers}
        fields.setdefault("content_length", str(len(payload)))
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        head = "\r\n".join((f"HTTP/1.1 {status} So", *lines, "", ""))
        return head.encode() + payload

    async def serve(self, stream: ByteStream) -> None:
        """Read one request and send the scripted response."""
        async with stream:
            try:
                request = await _read(stream)
                if request is None:
                    await stream.send(self.say(400))  # what HTTP servers tell TLS
                    return
                self.received.append(request)
                for step in self._answer(request.path):
                    if isinstance(step, bytes):
                        await stream.send(step)
                    else:
                        await step.wait()
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    def _answer(self, path: str) -> Sequence[Step]:
        for fragment, answers in self.plans.items():
            if fragment in path:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return [self.say(500, {"error": f"nothing planned for {path}"})]


async def _read(stream: ByteStream) -> Received | None:
    data = await stream.receive()
    if not data[:1].isalpha():
        return None
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive()
    method, path, _ = first.split(" ")
    return Received(method, path, headers, body)


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    """Listen on a free port of loopback, with TLS if there is a context for it."""
    listener: Listener[Any] = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    if context is not None:
        listener = TLSListener(listener, context, standard_compatible=False)
    fault_server = FaultServer(port, "https" if context else "http")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, fault_server.serve)
        yield fault_server
        tasks.cancel_scope.cancel()


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """Give the test a fault server."""
    async with listening() as fault_server:
        yield fault_server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate that signs itself, and its key, in one file.

    It is for 127.0.0.1, and for what a proxy may lead to: `platform.test`, 2001:db8::1.
    """
    need("openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += [
        "-subj",
        "/CN=fault server",
        "-addext",
        "subjectAltName=IP:127.0.0.1,IP:2001:db8::1,DNS:platform.test",
    ]
    command += ["-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a") as both:
        both.write(Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
async def tls_server(certificate: Path) -> AsyncIterator[FaultServer]:
    """Give the test a fault server that speaks TLS with that certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with listening(context) as fault_server:
        yield fault_server


@pytest.fixture
async def http(server: FaultServer) -> AsyncIterator[Http]:
    """Open a client for the fault server."""
    async with open_http(
        server.url, user_agent="rensei-daemon/test", call_seconds=3
    ) as http:
        yield http


class Clock:
    """A clock that tests advance, with sleeps that end at once."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []
        self.wake: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint
        """What happens while the next sleeper sleeps."""

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        meanwhile, self.wake = self.wake, anyio.lowlevel.checkpoint
        await meanwhile()


@pytest.fixture
def clock() -> Clock:
    """Give the tests a clock of their own."""
    return Clock()


def registration() -> Registration:
    """Describe a host with one project."""
    return Registration(
        machine_id="mid_1",
        hostname="build-01",
        capacity=4,
        version="0.1.0",
        region="eu",
        capabilities=("local",),
        host=HostInfo(os="linux", cpu_cores=16),
        report=report_from(
            mode="enumerated",
            enabled_ids=["proj_a"],
            entries=[("proj_a", "https://github.com/o/a")],
        ),
    )


@dataclass(slots=True)
class Safe:
    """Keeps what an identity saves, and the keys that it reads."""

    keys: list[str] = field(default_factory=lambda: [KEY])
    saved: list[Worker] = field(default_factory=list)
    gone: SettingsError | None = None

    def read_key(self) -> ApiKey:
        """Return the next key; the last one stays."""
        if self.gone is not None:
            raise self.gone
        secret = self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]
        return ApiKey(secret, ApiKeySource.SYSTEMD_CREDENTIAL)

    async def save(self, worker: Worker) -> None:
        """Keep the worker."""
        self.saved.append(worker)


@pytest.fixture
def safe() -> Safe:
    """Give the tests a place to save to."""
    return Safe()


@pytest.fixture
def identify(http: Http, safe: Safe, clock: Clock) -> Callable[..., Identity]:
    """Make an identity with this saved worker, or without one."""

    def make(
        saved: Worker | None = None,
        now: Callable[[], datetime] | None = None,
        sleep: Callable[[float], Awaitable[None]] = clock.sleep,
    ) -> Identity:
        more = {} if now is None else {"now": now}
        return Identity(
            http,
            key=ActiveApiKey(safe.read_key),
            describe=registration,
            saved=saved,
            save=safe.save,
            clock=clock,
            sleep=sleep,
            draw=lambda _, high: high,
            **more,
        )

    return make


@pytest.fixture
def beat() -> Beat:
    """Return a heartbeat with acks and a report."""
    return Beat(
        status="idle",
        active_count=0,
        max_sessions=4,
        load=None,
        load_average=None,
        report=registration().report,
        report_in_full=True,
        acks=Acks(applied=("dmut_1",), failures=(("dmut_2", "no"),)),
    )
