"""Requests and streams, with a server that sends faulty bytes."""

import base64
import gc
import gzip
import json
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import anyio
import httpx
import pytest
import structlog
from deadlines import HANG_SECONDS
from polling import until

from rensei_daemon.core.scrub import Scrubber
from rensei_daemon.errors import (
    Failure,
    PlatformError,
    RefusedError,
    SettingsError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.platform_api import exchange_errors, transport
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.platform_api.responses import unscrubbed

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer, Step

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
CASES = Path(__file__).parent / "cases"
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 42}'
MIB = 1024 * 1024


async def test_a_call_carries_what_the_wire_asks_for(
    server: "FaultServer", http: Http
) -> None:
    """Method, path, query, bearer, user agent and JSON body are sent as given."""
    server.plan("/api", OK)
    found = await http.call(
        "POST", "/api/x", bearer=KEY, body={"é": "\ud800"}, query={"q": "a b"}
    )
    assert found.body == {"a": 42}
    [request] = server.received
    assert (request.method, request.path, request.bearer) == ("POST", "/api/x?q=a+b", KEY)
    assert request.headers["user-agent"] == "rensei-daemon/test"
    assert request.headers["content-type"] == "application/json"
    assert request.json == {"é": "\ud800"}


@pytest.mark.parametrize("does_stream", [False, True])
async def test_a_response_needs_no_collector(
    server: "FaultServer", http: Http, does_stream: bool
) -> None:
    """Once it was read, it and its connection are freed, not at the next collection."""
    server.plan("/", OK)
    gc.collect()
    gc.disable()
    try:
        if does_stream:
            await _stream(http)
        else:
            await http.call("GET", "/")
        assert [one for one in gc.get_objects() if type(one) is httpx.Response] == []
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "steps",
    [
        [OK[:20], OK[20:40], OK[40:]],
        [OK[i : i + 1] for i in range(len(OK))],
        [b"HTTP/1.1 200 OK\r\n\r\n", b'{"a": 42}'],
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n",
            b'{"a\r\n6\r\n": 42}\r\n0\r\n\r\n',
        ],
    ],
    ids=["split", "byte-at-a-time", "until-close", "chunked"],
)
async def test_an_answer_may_come_in_any_pieces(
    server: "FaultServer", http: Http, steps: "list[Step]"
) -> None:
    """A response is the same however TCP and HTTP split it."""
    server.plan("/", steps)
    assert (await http.call("GET", "/")).body == {"a": 42}


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "it closed the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "it closed the connection"),
        (OK[:-3], "it closed the connection"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{",
            "it closed the connection",
        ),
        (b'HTTP/1.1 200 OK\r\n\r\n{"a": ', "not JSON"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "does not speak HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nx",
            "encoding that was not requested",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip", "broken gzip"),
    ],
)
async def test_a_broken_answer_is_transient(
    server: "FaultServer", http: Http, answer: bytes, complaint: str
) -> None:
    """A truncated response, or one that is not HTTP, is retried, with a hint."""
    server.plan("/", answer)
    with pytest.raises(TransientError, match=complaint) as caught:
        await http.call("GET", "/")
    assert str(caught.value).startswith("127.0.0.1:")


async def test_a_redirect_is_not_followed(server: "FaultServer", http: Http) -> None:
    """It counts as a refusal of the key, and nothing is sent to its target."""
    server.plan("/api", server.say(307, location=f"{server.url}/login"))
    with pytest.raises(UnauthorizedError) as caught:
        await http.call("POST", "/api", bearer=KEY, body={})
    host = f"127.0.0.1:{server.port}"
    assert str(caught.value) == f"{host} answered 307, a redirect to {host}"
    assert "no longer accepted; check platform.url too" in caught.value.hint
    assert [request.path for request in server.received] == ["/api"]


async def test_a_redirect_of_a_stream_says_what_was_seen(
    server: "FaultServer", http: Http
) -> None:
    """The error names the host of the target, not its path, and does not guess."""
    location = "https://u:hunter2@edge.test:8443/hunter2?x=hunter2#hunter2"
    server.plan("/s", server.say(308, location=location))
    with pytest.raises(UnauthorizedError) as caught:
        async with http.stream("/s", bearer=KEY, query={}):
            pass
    told = f"{caught.value} | {caught.value.hint}"
    assert told == (
        f"127.0.0.1:{server.port} answered 308, a redirect to edge.test:8443 | "
        "redirects are not followed: does a gateway before the platform send one?"
    )


@pytest.mark.parametrize(
    "location",
    [
        *("mailto:a@b", "http:x", "data:,x", "http://\x1b[31m/", "http://[", "//", "?#"),
        *(KEY, f"https://{'a' * 300}/", f"/{'x' * 100_000}"),
    ],
)
async def test_nonsense_in_a_redirect_is_the_same_refusal(
    server: "FaultServer", http: Http, location: str
) -> None:
    """There is no other error, and the target is not quoted."""
    server.plan("/api", server.say(302, location=location))
    with pytest.raises(UnauthorizedError) as caught:
        await http.call("POST", "/api", bearer=KEY, body={})
    assert str(caught.value).endswith(" answered 302, a redirect to another page")


async def test_a_redirect_to_the_key_does_not_quote_it(
    server: "FaultServer", http: Http
) -> None:
    """A host that contains the key is scrubbed."""
    server.plan("/api", server.say(302, location=f"https://{KEY}/"))
    with pytest.raises(UnauthorizedError) as caught:
        await http.call("POST", "/api", bearer=KEY, body={})
    assert str(caught.value).endswith(" a redirect to …")


async def test_what_the_parser_choked_on_is_not_quoted(
    server: "FaultServer", http: Http
) -> None:
    """A malformed response may hold secrets, so its error quotes nothing of it."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.plan("/", head + b'{"env": {"TOKEN": "ghp_canary"}}\r\n')
    with pytest.raises(
        TransientError, match="it closed the connection, or does not speak HTTP"
    ) as caught:
        await http.call("GET", "/")
    assert "canary" not in str(caught.value)


async def test_cookies_do_not_stick(server: "FaultServer", http: Http) -> None:
    """A cookie is not sent back."""
    server.plan("/", server.say(200, {}, set_cookie="portal=1; Path=/"))
    await http.call("GET", "/")
    await http.call("GET", "/")
    assert ["cookie" in request.headers for request in server.received] == [False, False]


async def test_five_megabytes_are_an_answer(server: "FaultServer", http: Http) -> None:
    """A large response is read whole."""
    server.plan("/", server.say(200, {"a": "x" * 5 * MIB}))
    assert len((await http.call("GET", "/")).body["a"]) == 5 * MIB


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_more_than_sixteen_mebibytes_are_refused(
    server: "FaultServer", http: Http, encoding: str
) -> None:
    """A response over the limit is dropped, packed or not; the next call works."""
    content = b"[" + b" " * 20 * MIB + b"]"
    if encoding == "gzip":
        content = gzip.compress(content, 1)
    server.plan("/big", server.say(200, content=content, content_encoding=encoding))
    server.plan("/", OK)
    with pytest.raises(TransientError, match="more than 16 MiB"):
        await http.call("GET", "/big")
    assert (await http.call("GET", "/")).body == {"a": 42}


async def test_a_packed_answer_is_unpacked(server: "FaultServer", http: Http) -> None:
    """Gzip is read; an incomplete gzip stream is an error."""
    packed = gzip.compress(b'{"a": 42}')
    server.plan("/whole", server.say(200, content=packed, content_encoding="gzip"))
    server.plan("/half", server.say(200, content=packed[:-9], content_encoding="gzip"))
    assert (await http.call("GET", "/whole")).body == {"a": 42}
    with pytest.raises(TransientError, match="broke off in the middle"):
        await http.call("GET", "/half")


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", (CASES / "two_members.gz").read_bytes()),
        ("x-gzip", gzip.compress(b'{"a":') + b"\0\0\0" + gzip.compress(b" 42}") + b"\0"),
        ("GZIP, gzip", gzip.compress(b'{"a": 42}')),
        ("identity, gzip", gzip.compress(b'{"a": ' + b" " * 100_000 + b"42}")),
    ],
    ids=["members", "padding", "named-twice", "long"],
)
async def test_an_answer_of_several_members_is_one(
    server: "FaultServer", http: Http, encoding: str, content: bytes
) -> None:
    """Several gzip members, with or without padding, are one body."""
    server.plan("/", server.say(200, content=content, content_encoding=encoding))
    body = (await http.call("GET", "/")).body
    assert body in ({"a": 42}, {"env": {"T": "yes"}})


@pytest.mark.parametrize(
    ("tail", "complaint"),
    [
        (b"more", "broken gzip"),
        (gzip.compress(b"", mtime=0)[:9], "broke off in the middle"),
    ],
)
async def test_what_follows_a_member_is_gzip_too(
    server: "FaultServer", http: Http, tail: bytes, complaint: str
) -> None:
    """Other bytes, or an incomplete member, are an error."""
    content = gzip.compress(b'{"a": 42}') + tail
    server.plan("/", server.say(200, content=content, content_encoding="gzip"))
    with pytest.raises(TransientError, match=complaint):
        await http.call("GET", "/")


async def test_a_call_takes_no_longer_than_it_may(server: "FaultServer") -> None:
    """A slow response is given up at the time limit of a call."""
    never = anyio.Event()
    server.plan("/", [OK[:30], never])
    async with open_http(server.url, user_agent="x", call_seconds=0.1) as http:
        with (
            anyio.fail_after(HANG_SECONDS),
            pytest.raises(TransientError, match="did not answer in time"),
        ):
            await http.call("GET", "/")
    never.set()


async def test_a_wedged_pool_is_replaced(
    server: "FaultServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no connection becomes free the client is replaced, and the next call works."""
    monkeypatch.setattr(transport, "USUAL_CONNECTIONS", 1)
    monkeypatch.setattr(transport, "QUEUE_SECONDS", 0.05)
    release = anyio.Event()
    server.plan("/stuck", [release])
    server.plan("/", OK)
    async with (
        open_http(server.url, user_agent="x") as http,
        anyio.create_task_group() as tasks,
    ):

        async def stuck() -> None:
            with pytest.raises(TransientError):
                await http.call("GET", "/stuck")

        tasks.start_soon(stuck)
        with anyio.fail_after(HANG_SECONDS):
            while not server.received:
                await anyio.lowlevel.checkpoint()
            with pytest.raises(TransientError, match="pool was replaced"):
                await http.call("GET", "/")
            assert http.rebuilds == 1
            assert (await http.call("GET", "/")).body == {"a": 42}
        release.set()


async def test_calls_that_queue_outlive_a_replaced_pool(
    server: "FaultServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that waited during the replacement uses the new client.

    Which of those already in the old pool are answered depends on who gives up first: the
    end of the one that blocks it lets the next one through.
    """
    never = anyio.Event()
    server.plan("/stuck", [never])
    server.plan("/queued", OK)
    server.plan("/", OK)
    outcomes: set[tuple[str, str]] = set()

    async def call(http: Http, path: str) -> None:
        try:
            await http.call("GET", path)
        except TransientError:
            outcomes.add((path, "transient"))
        else:
            outcomes.add((path, "answered"))

    with anyio.fail_after(HANG_SECONDS), monkeypatch.context() as first_pool:
        first_pool.setattr(transport, "USUAL_CONNECTIONS", 1)
        first_pool.setattr(transport, "QUEUE_SECONDS", 0.05)
        async with open_http(server.url, user_agent="x") as http:
            first_pool.undo()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call, http, "/stuck")
                while not server.received:  # or another has the connection, and ends
                    await anyio.lowlevel.checkpoint()
                for path in (*["/"] * 7, *["/queued"] * 4):  # 8 at once, with the first
                    tasks.start_soon(call, http, path)
            assert http.rebuilds == 1
    never.set()
    assert outcomes - {("/", "answered")} == {
        ("/stuck", "transient"),
        ("/", "transient"),
        ("/queued", "answered"),
    }


async def test_forty_cancelled_calls_leave_the_pool_whole(server: "FaultServer") -> None:
    """Calls cancelled while they wait or connect block no connection."""
    release = anyio.Event()
    server.plan("/stuck", [release])
    server.plan("/", OK)
    # None of the calls may end by itself, however slow the machine is.
    async with open_http(server.url, user_agent="x", call_seconds=50) as http:
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(http.call, "GET", "/stuck")
            await until(lambda: len(server.received) == 8)
            tasks.cancel_scope.cancel()
        release.set()
        assert [(await http.call("GET", "/")).body for _ in range(20)] == [{"a": 42}] * 20
        assert http.rebuilds == 0


async def test_a_refused_connection_says_what_to_check(free_tcp_port: int) -> None:
    """A refused connection is a transient error with a hint."""
    async with open_http(f"http://127.0.0.1:{free_tcp_port}", user_agent="x") as http:
        with pytest.raises(TransientError, match="refused the connection") as caught:
            await http.call("GET", "/")
    assert "platform.url" in caught.value.hint


async def test_a_server_without_tls_is_named(server: "FaultServer") -> None:
    """The error says that the server does not use TLS."""
    server.plan("/", OK)
    url = server.url.replace("http://", "https://")
    async with open_http(url, user_agent="x") as http:
        with pytest.raises(TransientError, match="TLS handshake failed"):
            await http.call("GET", "/")


async def test_the_extra_ca_file_is_trusted(
    tls_server: "FaultServer", certificate: Path
) -> None:
    """A certificate signed by the CA file is accepted."""
    tls_server.plan("/", OK)
    async with open_http(tls_server.url, user_agent="x", ca_file=certificate) as http:
        assert (await http.call("GET", "/")).body == {"a": 42}


async def test_an_unknown_certificate_is_not_trusted(tls_server: "FaultServer") -> None:
    """Without the CA file nothing is sent, and the hint names the setting."""
    async with open_http(tls_server.url, user_agent="x") as http:
        with pytest.raises(TransientError, match="certificate is not trusted") as caught:
            await http.call("GET", "/", bearer=KEY)
    assert "platform.ca_file" in caught.value.hint
    assert tls_server.received == []


async def test_a_certificate_for_another_name_is_not_trusted(
    tls_server: "FaultServer", certificate: Path
) -> None:
    """A certificate is only valid for the host that it names."""
    url = tls_server.url.replace("127.0.0.1", "localhost")
    async with open_http(url, user_agent="x", ca_file=certificate) as http:
        with pytest.raises(TransientError, match="certificate is not trusted"):
            await http.call("GET", "/", bearer=KEY)
    assert tls_server.received == []


@pytest.mark.parametrize(
    ("cause", "what"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be resolved"),
        (socket.gaierror(-3, "Temporary failure"), "no name server could look up its name"),
        (ssl.SSLCertVerificationError(1, "x"), "its certificate is not trusted"),
        (ExceptionGroup("x", [ConnectionRefusedError()]), "it refused the connection"),
        (OSError(24, "Too many open files"), "no connection can be opened: too many open"),
        (OSError(101, "Network is unreachable"), "it cannot be reached"),
    ],
)
def test_a_failed_connect_is_told_by_its_cause(cause: Exception, what: str) -> None:
    """DNS, certificates and closed ports have different errors, each with a hint."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        cause.verify_code, cause.verify_message = 18, "self-signed certificate"
    error = httpx.ConnectError("x")
    error.__cause__ = cause
    found, hint = exchange_errors.explain_failure(error, unscrubbed)
    assert found.startswith(what)
    assert hint
    assert exchange_errors.classify(error) is Failure.UNREACHABLE


async def _stream(http: Http) -> None:
    async with http.stream("/", bearer="", query={}):
        pass


async def _call(http: Http) -> None:
    await http.call("GET", "/")


@pytest.mark.parametrize("ask", [_call, _stream])
@pytest.mark.parametrize(
    ("is_silent", "what"), [(True, "no name server answers"), (False, "cannot be reached")]
)
async def test_a_silent_name_server_is_told_from_a_silent_platform(
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Http], Awaitable[None]],
    is_silent: bool,
    what: str,
) -> None:
    """Both reach the time limit for connecting, with different errors."""
    monkeypatch.setattr("rensei_daemon.platform_api.transport.CONNECT_SECONDS", 0.05)
    monkeypatch.setattr("rensei_daemon.platform_api.transport.LOOKUP_SECONDS", 0.05)
    answered = threading.Event()
    # Where one connection waits to be accepted, the next is not answered.
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listener.getsockname()

    def look_up(*_: object, **__: object) -> list[object]:
        if is_silent:
            answered.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    with listener, socket.create_connection(address):
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        url = f"https://platform.test:{address[1]}"
        async with open_http(url, user_agent="x", environ={}) as http:
            with pytest.raises(TransientError, match=what) as caught:
                await ask(http)
            answered.set()
    assert caught.value.failure is Failure.UNREACHABLE


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (9, Failure.CERTIFICATE_DATES),
        (10, Failure.CERTIFICATE_DATES),
        (18, Failure.UNREACHABLE),
    ],
    ids=["not yet valid", "expired", "self-signed"],
)
def test_a_certificate_that_is_not_valid_today_is_told_by_the_clock(
    code: int, failure: Failure
) -> None:
    """The error names the certificate and this host's clock."""
    cause = ssl.SSLCertVerificationError(1, "x")
    cause.verify_code, cause.verify_message = code, "why"
    error = httpx.ConnectError("x")
    error.__cause__ = cause
    what, hint = exchange_errors.explain_failure(error, unscrubbed)
    assert exchange_errors.classify(error) is failure
    assert ("by this host's clock" in what) == (failure is Failure.CERTIFICATE_DATES)
    assert "clock" in hint


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ConnectTimeout("x"), Failure.UNREACHABLE),
        (httpx.ProxyError("x"), Failure.UNREACHABLE),
        (httpx.ReadTimeout("x"), Failure.TIMEOUT),
        (httpx.PoolTimeout("x"), Failure.TIMEOUT),
        (TimeoutError(), Failure.TIMEOUT),
        (httpx.ReadError("x"), Failure.BROKEN),
        (httpx.RemoteProtocolError("x"), Failure.BROKEN),
        (ConnectionResetError(), Failure.BROKEN),
    ],
)
def test_failures_are_told_apart_by_where_they_end(
    error: Exception, failure: Failure
) -> None:
    """No connection, silence and a broken connection are different failures."""
    assert exchange_errors.classify(error) is failure


async def test_a_key_http_cannot_carry_is_not_sent(
    server: "FaultServer", http: Http
) -> None:
    """A key with a line break or a non-ASCII letter is refused without quoting it."""
    for key in (f"{KEY}\r\nX: 1", f"{KEY}é", f"{KEY} "):
        with pytest.raises(UnauthorizedError) as caught:
            await http.call("GET", "/", bearer=key)
        assert "c0ffee" not in str(caught.value)
    assert server.received == []


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 401 No\r\n\r\n{"error": "bad %s"}',
        b'HTTP/1.1 403 No\r\n\r\n{"error": "bad %s"}',
        b"HTTP/1.1 502 No\r\n\r\nupstream: %s",
        b"HTTP/1.1 200 %s OK\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n%s: \r\n x\r\n\r\n{",
        b"%s is no HTTP\r\n\r\n",
        b"HTTP/1.1 307 %s\r\nLocation: /%s\r\n\r\n%s",
    ],
)
async def test_no_error_and_no_log_holds_the_key(
    server: "FaultServer", http: Http, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that echoes the key puts it into neither a traceback nor a log."""
    caplog.set_level(logging.DEBUG)
    server.plan("/", answer.replace(b"%s", KEY.encode()))
    with structlog.testing.capture_logs() as events, pytest.raises(PlatformError) as caught:
        await http.call("POST", "/", bearer=KEY, body={})
    told = [
        *traceback.format_exception(caught.value),
        repr(caught.value),
        caught.value.hint,
        getattr(caught.value, "detail", ""),
        caplog.text,
        json.dumps(events),
    ]
    assert "c0ffee" not in "".join(told)


async def test_a_body_secret_is_scrubbed_too(server: "FaultServer", http: Http) -> None:
    """Secrets that the caller names are not quoted either."""
    server.plan("/", server.say(400, {"error": "what is hunter2?"}))
    with pytest.raises(RefusedError) as caught:
        await http.call("POST", "/", body={"x": "hunter2"}, secrets=("hunter2",))
    assert caught.value.detail == "what is …?"


VALUE = 'sk-canary"9\n<7>/+é&'
CANARY_PARTS = ("canary", "c2stY2", "LWNhb", "ay1jY")
FORMS = {
    "as it is": VALUE,
    "in JSON": json.dumps(VALUE),
    "in a URL": f"?token={quote(VALUE, safe='')}",
    "in a form": f"token={quote_plus(VALUE)}",
    "in base64": base64.b64encode(VALUE.encode()).decode(),
    "as a password": base64.b64encode(f"user:{VALUE}".encode()).decode(),
    "in Python": repr([VALUE]),
    "its first line": VALUE.split("\n")[0],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("status", [401, 403, 503])
async def test_what_the_daemon_knows_is_scrubbed_in_any_form(
    server: "FaultServer", form: str, status: int
) -> None:
    """An error that quotes a session's value is scrubbed."""
    scrub = Scrubber()
    scrub.register("build", [VALUE])
    server.plan("/json", server.say(status, {"error": f"no: {form}"}))
    server.plan("/plain", server.say(status, content=f"no: {form}".encode()))
    server.plan("/nested", server.say(status, {"error": [VALUE]}))
    server.plan("/rude", f"HTTP/1.1 no: {VALUE.splitlines()[0]}\r\n\r\n".encode())
    async with open_http(server.url, user_agent="x", scrub=scrub) as http:
        for path in ("/json", "/plain", "/nested", "/rude"):
            with pytest.raises(PlatformError) as caught:
                await http.call("POST", path, body={})
            told = f"{caught.value}{getattr(caught.value, 'detail', '')}"
            # What breaks the protocol is not quoted at all.
            assert ("[redacted]" in told) is (path != "/rude")
            assert not [part for part in CANARY_PARTS if part in told]


async def test_a_loopback_platform_is_never_asked_through_a_proxy(
    server: "FaultServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy variables do not apply to this host."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    server.plan("/", OK)
    async with open_http(server.url, user_agent="x") as http:
        assert (await http.call("GET", "/")).body == {"a": 42}


async def test_another_platform_is_asked_through_the_proxy(
    server: "FaultServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy of the environment gets the request, with the whole URL."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.plan("platform.test", OK)
    async with open_http("http://platform.test", user_agent="x") as http:
        assert (await http.call("GET", "/a")).body == {"a": 42}
    assert [request.path for request in server.received] == ["http://platform.test/a"]


async def test_a_proxy_that_refuses_is_named(
    server: "FaultServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a proxy that requires a password has a hint about it."""
    monkeypatch.setenv("https_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.plan("platform.test:443", b"HTTP/1.1 407 Who are you\r\n\r\n")
    async with open_http("https://platform.test", user_agent="x") as http:
        with pytest.raises(
            TransientError, match="the proxy refused: 407 Who are"
        ) as caught:
            await http.call("GET", "/", bearer=KEY)
    assert "_proxy" in caught.value.hint
    assert server.received[0].bearer == ""


async def test_a_useless_url_is_the_operators_to_mend() -> None:
    """A URL that the settings have let pass."""
    with pytest.raises(SettingsError, match=r"platform\.url"):
        async with open_http("https://[v1.a]", user_agent="x"):
            pass


async def test_a_useless_ca_file_is_the_operators_to_mend(tmp_path: Path) -> None:
    """A CA file without a certificate is a settings error that names it."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(SettingsError, match=r"ca\.pem"):
        async with open_http("https://platform.test", user_agent="x", ca_file=path):
            pass


async def test_a_stream_is_watched_by_the_kernel(server: "FaultServer", http: Http) -> None:
    """A stream's socket has keepalive 15/10/3 and a user timeout of 45 s."""
    hold = anyio.Event()
    server.plan("/", [b"HTTP/1.1 200 OK\r\n\r\n", hold])
    async with http.stream("/", bearer=KEY, query={}) as response:
        raw = response.extensions["network_stream"].get_extra_info("socket")
        options = {
            "keepalive": raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "idle": raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            "interval": raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            "count": raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            "user": raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        }
    hold.set()
    assert options == {
        "keepalive": 1,
        "idle": 15,
        "interval": 10,
        "count": 3,
        "user": 45000,
    }
