"""The rotate stream over a real socket."""

import gzip
import traceback
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.session_values import StreamUpdate
from rensei_daemon.core.sse import ServerEvent
from rensei_daemon.errors import (
    PlatformError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.platform_api.event_reader import EventReader, StreamLimits
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.platform_api.stream import (
    FirstByte,
    StreamEvent,
    UnusableEvent,
    open_stream,
    parse_event,
)

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer, Step

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
A = b'event: UPDATE\ndata: {"delta": {"A": "1"}}\n\n'
B = b'event: UPDATE\ndata: {"delta": {"B": "\xc3\xa9"}}\n\n'
BOTH = [StreamUpdate({"A": "1"}), StreamUpdate({"B": "é"})]
ENDED = "the stream ended"


async def read(http: Http, **options: Any) -> tuple[list[StreamEvent], str]:
    """Read a stream to its end: its events, and the error that ended it, if any."""
    found: list[StreamEvent] = []
    try:
        with anyio.fail_after(HANG_SECONDS):
            async with open_stream(http, "build", KEY, **options) as stream:
                async for event in stream:
                    if not isinstance(event, FirstByte):
                        found.append(event)
    except TransientError as error:
        return found, str(error)
    return found, ""


async def test_updates_come_as_values(server: "FaultServer", http: Http) -> None:
    """An UPDATE is returned as changed values; the end of the stream is an error."""
    server.plan("rotate-stream", HEAD + A + b'data: {"env": {"B": "2", "C": 3}}\n\n')
    with anyio.fail_after(HANG_SECONDS):
        async with open_stream(http, "a session/1", KEY) as stream:
            assert await anext(stream) == FirstByte()
            assert await anext(stream) == StreamUpdate({"A": "1"})
            assert await anext(stream) == StreamUpdate({"B": "2"}, is_whole=False)
            with pytest.raises(TransientError, match=ENDED):
                await anext(stream)
    [request] = server.received
    assert request.path.endswith("/rotate-stream?sessionId=a+session%2F1")
    assert request.bearer == KEY
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"


TEXT = A + B
CHUNKED = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    "steps",
    [
        [HEAD, TEXT],
        [HEAD, *(TEXT[i : i + 1] for i in range(len(TEXT)))],
        [HEAD, TEXT.replace(b"\n", b"\r\n")],
        [HEAD, *(bytes([b]) for b in TEXT.replace(b"\n", b"\r\n"))],
        [HEAD, TEXT.replace(b"\n", b"\r")],
        [HEAD, b"\xef\xbb\xbf", TEXT],
        [HEAD, b"\xef", b"\xbb", b"\xbf" + TEXT],
        [HEAD.replace(b"stream", b"stream; charset=iso-8859-1"), TEXT],
        [HEAD, b"id: 7\n", A, b": ping\n\n: ping\n\n", B, b": ping\n\n"],
        [HEAD, A, b'event: OTHER\ndata: {"delta": {"X": "1"}}\n\nevent: ping\n\n', B],
        [CHUNKED, b"%x\r\n%s\r\n" % (len(TEXT), TEXT), b"0\r\n\r\n"],
        [HEAD, A, B, b'data: {"delta": {"C": "cut o'],
    ],
    ids=[
        "whole", "bytes", "crlf", "crlf-bytes", "cr", "bom", "bom-cut", "charset",
        "phantoms", "other-names", "chunked", "cut-event",
    ],
)  # fmt: skip
async def test_the_same_events_whatever_the_spelling(
    server: "FaultServer", http: Http, steps: "list[Step]"
) -> None:
    """Chunks, line ends, BOM, charset and keepalives do not change the events."""
    server.plan("/", steps)
    assert await read(http) == (BOTH, ENDED)


@pytest.mark.parametrize(
    ("name", "data", "event"),
    [
        ("UPDATE", '{"delta": {"A": "1"}, "env": {"B": "2"}}', StreamUpdate({"A": "1"})),
        ("UPDATE", '{"delta": null, "env": {"B": "2"}}', StreamUpdate({"B": "2"})),
        ("message", '{"type": "UPDATE", "delta": {"A": "1"}}', StreamUpdate({"A": "1"})),
        (
            "UPDATE",
            '{"delta": {"A": "1", "B": null, "C": ["x"]}}',
            StreamUpdate({"A": "1"}, is_whole=False),
        ),
        ("UPDATE", '{"delta": {"A": "0", "A": "1"}, "n": NaN}', StreamUpdate({"A": "1"})),
        ("UPDATE", "", UnusableEvent("the event is not JSON")),
        ("UPDATE", None, UnusableEvent("the event is not JSON")),
        ("message", '{"type": "ping"}', None),
        ("message", '{"type": "ping", "delta": {"A": "1"}}', None),
        ("message", '{"type": null, "delta": {"A": "1"}}', StreamUpdate({"A": "1"})),
        ("UPDATE", '{"type": "ping", "delta": {"A": "1"}}', StreamUpdate({"A": "1"})),
        ("message", '{"kind": "ping"}', UnusableEvent("the event carries no values")),
        (
            "UPDATE",
            '{"delta": {"A": "1"}, "rotatedAt": "2026-11-28T13:00:30Z"}',
            StreamUpdate(
                {"A": "1"}, rotated_at=datetime(2026, 11, 28, 13, 0, 30, tzinfo=UTC)
            ),
        ),
        ("UPDATE", '{"delta": {"A": "1"}, "rotatedAt": "soon"}', StreamUpdate({"A": "1"})),
        ("UPDATE", "{", UnusableEvent("the event is not JSON")),
        ("UPDATE", "[" * 100_000, UnusableEvent("the event is not JSON")),
        ("UPDATE", '{"n": %s}' % ("9" * 5000), UnusableEvent("the event is not JSON")),
        ("message", "null", UnusableEvent("the event is not an object")),
        ("message", '["A"]', UnusableEvent("the event is not an object")),
        ("message", '{"type": "UPDATE"}', UnusableEvent("the event carries no values")),
        ("UPDATE", '{"delta": {}}', UnusableEvent("the event carries no values")),
        ("UPDATE", '{"delta": ["A"]}', UnusableEvent("the event carries no values")),
        ("UPDATE", '{"delta": {"A": null}}', UnusableEvent("the event carries no values")),
        ("message", "", None),
        ("update", '{"delta": {"A": "1"}}', None),
        ("ping", "x", None),
    ],
)  # fmt: skip
def test_an_event_is_values_or_a_call_for_a_snapshot(
    name: str, data: str | None, event: StreamEvent | None
) -> None:
    """An unusable event causes a snapshot; other names are ignored."""
    assert parse_event(ServerEvent(name, data)) == event


def test_events_do_not_show_values() -> None:
    """The repr of an event has no values."""
    assert "s3cr3t" not in repr(StreamUpdate({"A": "s3cr3t"}))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, RefusedError),
        (307, UnauthorizedError),
        (401, UnauthorizedError),
        (403, RefusedError),
        (404, RefusedError),
        (429, TransientError),
        (503, TransientError),
    ],
)
async def test_a_refused_stream_says_why(
    server: "FaultServer", http: Http, status: int, error: type[PlatformError]
) -> None:
    """Statuses have the same meaning as in a call; 204 is a refusal."""
    server.plan("/", server.say(status, {"error": KEY}, retry_after="7"))
    with pytest.raises(error) as caught:
        async with open_stream(http, "build", KEY):
            pass
    if isinstance(caught.value, RefusedError):
        assert caught.value.status == status
    if isinstance(caught.value, TransientError):
        assert caught.value.retry_after == 7
    assert "c0ffee" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        (b"Content-Type: text/html", "HTML page"),
        (b"Content-Type: application/json", "no event stream"),
        (b"X: y", "no event stream"),
        (b"Content-Type: text/event-stream, text/html", "HTML page"),
        (b"Content-Type: text/event-stream\r\nContent-Encoding: br", "not requested"),
    ],
)
async def test_what_is_no_event_stream_is_refused(
    server: "FaultServer", http: Http, headers: bytes, complaint: str
) -> None:
    """HTML, JSON or an unknown encoding is retried, and named."""
    server.plan("/", b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n" + A)
    found, error = await read(http)
    assert (found, complaint in error) == ([], True)


@pytest.mark.parametrize(
    "flood",
    [
        b"data: " + b"x" * 2**21,
        b"data: x\n" * 2**18,
        b": " + b"x" * 2**21,
        b"\xef\xbb\xbf" + b"x" * 2**21,
    ],
    ids=["one-line", "many-lines", "comment", "after-bom"],
)
async def test_an_endless_event_is_cut_off(
    server: "FaultServer", http: Http, flood: bytes
) -> None:
    """An event or line over 1 MiB ends the stream; events before it are returned."""
    first = b"" if flood.startswith(b"\xef") else A
    server.plan("/", [HEAD, first, flood])
    found, error = await read(http)
    assert found == ([StreamUpdate({"A": "1"})] if first else [])
    assert error == "an event of the stream is larger than 1 MiB"


@pytest.mark.slow
async def test_many_small_events_are_no_big_one(server: "FaultServer", http: Http) -> None:
    """The limit is for one event: many small events and comments are accepted."""
    server.plan("/", [HEAD, A * 2**14, b": ping\n" * 2**17, A * 2**14])
    found, error = await read(http)
    assert (len(found), error) == (2**15, ENDED)


async def test_an_event_must_complete_in_time(server: "FaultServer", http: Http) -> None:
    """An incomplete event ends the stream; silence between events does not."""
    never = anyio.Event()
    server.plan("/", [HEAD, A, b"data: {", never])
    found, error = await read(http, limits=StreamLimits(event_seconds=0.05))
    assert (found, error) == (
        [StreamUpdate({"A": "1"})],
        "an event of the stream did not complete in time",
    )
    never.set()


@pytest.mark.parametrize(
    ("pulse", "complaint"),
    [
        (b": ping\n\n" * 3, "the stream fell silent"),
        (b": ping\n" * 3, "the stream fell silent"),
        (b"event: ping\ndata: {}\n\n" * 3, "the stream fell silent"),
        (b": ping\n\n" * 2, ""),
        (A * 3, ""),
    ],
)
async def test_silence_counts_once_there_was_a_pulse(
    server: "FaultServer", http: Http, pulse: bytes, complaint: str
) -> None:
    """After three keepalives silence ends the stream; before, only its age does."""
    never = anyio.Event()
    server.plan("/", [HEAD, pulse, never])
    limits = StreamLimits(idle_seconds=0.05)
    _, error = await read(http, limits=limits, max_age_seconds=0.3)
    assert error == complaint
    never.set()


async def test_an_old_stream_ends_without_an_error(
    server: "FaultServer", http: Http
) -> None:
    """At its maximum age the iteration ends after all events."""
    never = anyio.Event()
    server.plan("/", [HEAD, A, never])
    assert await read(http, max_age_seconds=0.1) == ([StreamUpdate({"A": "1"})], "")
    never.set()


async def test_an_old_stream_waits_for_its_event_to_complete(
    server: "FaultServer", http: Http
) -> None:
    """The age limit does not cut an event off."""
    half = anyio.Event()
    server.plan("/", [HEAD, A + B[:9], half, B[9:]])
    with anyio.fail_after(HANG_SECONDS):
        async with open_stream(http, "build", KEY, max_age_seconds=0.05) as stream:
            assert await anext(stream) == FirstByte()
            assert await anext(stream) == BOTH[0]
            with anyio.move_on_after(0.1):  # old by now, and in the middle of an event
                await anyio.sleep_forever()
            half.set()
            assert [event async for event in stream] == [BOTH[1]]


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"2500", 2.5),
        (b"-5", None),
        ("٣".encode(), None),
        (b"1_000", None),
        (b"1" * 21, 60),
        (b"9" * 4000, 60),
        (b"9" * 5000, 60),
        (b"soon", None),
    ],
)
async def test_the_reconnect_wish_is_kept_sane(
    server: "FaultServer", http: Http, field: bytes, seconds: float | None
) -> None:
    """`retry:` is given in seconds, between 0 and 60."""
    server.plan("/", HEAD + b"retry: " + field + b"\n\n" + A)
    async with open_stream(http, "build", KEY) as stream:
        assert await anext(stream) == FirstByte()
        assert await anext(stream) == BOTH[0]
        assert stream.retry_seconds == seconds


async def test_a_keepalive_is_heard() -> None:
    """Bytes without an event update `last_heard` too."""

    async def source() -> AsyncIterator[bytes]:
        await anyio.lowlevel.checkpoint()
        yield b": ping\n"
        await anyio.lowlevel.checkpoint()
        yield b"\n"

    reader = EventReader(source(), StreamLimits(), max_age_seconds=5)
    heard = [reader.last_heard]
    for _ in range(2):
        assert await reader.read()
        heard.append(reader.last_heard)
    with pytest.raises(TransientError, match=ENDED):
        await reader.read()
    assert heard[0] < heard[1] < heard[2]


async def test_a_stream_given_up_between_two_waits_ends_at_the_next() -> None:
    """A dead peer may be detected while nobody waits for the stream."""

    async def source() -> AsyncIterator[bytes]:
        yield b": ping\n"
        await anyio.sleep_forever()

    reader = EventReader(source(), StreamLimits(), max_age_seconds=5)
    await reader.read()
    reader.give_up("the peer is gone")
    with (
        anyio.fail_after(HANG_SECONDS),
        pytest.raises(TransientError, match="the peer is gone"),
    ):
        await _to_the_end(reader)


async def test_a_trickling_event_runs_out_of_time() -> None:
    """Single bytes do not extend the time limit of an event."""

    async def source() -> AsyncIterator[bytes]:
        yield b"data: "
        while True:
            await anyio.sleep(0.02)  # passes time
            yield b"x"

    limits = StreamLimits(event_seconds=0.1)
    reader = EventReader(source(), limits, max_age_seconds=5)
    with (
        anyio.fail_after(HANG_SECONDS),
        pytest.raises(TransientError, match="did not complete in time"),
    ):
        await _to_the_end(reader)


async def _to_the_end(reader: EventReader) -> None:
    while await reader.read():
        pass


async def test_a_slow_reader_is_not_the_platforms_fault() -> None:
    """Time between two reads does not count against an event."""

    async def source() -> AsyncIterator[bytes]:
        for byte in A:
            yield bytes([byte])

    limits = StreamLimits(event_seconds=0.05)
    reader = EventReader(source(), limits, max_age_seconds=5)
    await reader.read()
    await anyio.sleep(0.1)  # passes time
    await _to_the_end_of_source(reader)
    assert await reader.next_read() is not None


@pytest.mark.parametrize(
    ("flood", "turns"), [(b"\n" * 100_000, 48), (b"data: {}\n\n" * 5000, 24 + 312)]
)
async def test_a_flood_leaves_others_their_turn(flood: bytes, turns: int) -> None:
    """Other tasks run after 2 KiB and after 16 events."""

    async def source() -> AsyncIterator[bytes]:
        yield flood

    async def read_all() -> None:
        reader = EventReader(source(), StreamLimits(), max_age_seconds=5)
        with suppress(TransientError):  # the stream ended
            while await reader.read():
                while await reader.next_read():
                    pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        taken = 0
        tasks.start_soon(read_all)
        while not tasks.cancel_scope.cancel_called:
            await anyio.lowlevel.checkpoint()
            taken += 1
    assert taken >= turns


async def _to_the_end_of_source(reader: EventReader) -> None:
    with pytest.raises(TransientError, match=ENDED):
        await _to_the_end(reader)


@pytest.mark.parametrize("head", [b"", HEAD[:30], HEAD[:-2]])
async def test_headers_must_come_in_time(server: "FaultServer", head: bytes) -> None:
    """A platform that accepts the connection and sends no or half a header is given up."""
    never = anyio.Event()
    server.plan("/", [head, never])
    async with open_http(server.url, user_agent="x", call_seconds=0.1) as http:
        _, error = await read(http)
    never.set()
    assert error.endswith("it did not answer in time")


async def test_no_stream_asks_to_resume(server: "FaultServer", http: Http) -> None:
    """Ids are not sent back: a snapshot replaces missed events."""
    server.plan("/", [HEAD, b"id: 7\n", A])
    for _ in range(2):
        assert await read(http) == ([StreamUpdate({"A": "1"})], ENDED)
    assert ["last-event-id" in request.headers for request in server.received] == [
        False
    ] * 2


async def test_leaving_a_stream_hangs_up(server: "FaultServer", http: Http) -> None:
    """Cancelling a reader closes its connection, and the next stream is a new one."""
    never = anyio.Event()
    server.plan("/", [HEAD, A, never])
    with anyio.fail_after(HANG_SECONDS):
        for _ in range(20):
            async with open_stream(http, "build", KEY) as stream:
                await anext(stream)
                with anyio.move_on_after(0.001):
                    await anext(stream)
    never.set()
    assert len(server.received) == 20


CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize(
    ("case", "events"),
    [
        ("cr_only_event.http", [StreamUpdate({"GITHUB_TOKEN": "v2"})]),
        ("invalid_utf8_value.http", [UnusableEvent("the event is not UTF-8")]),
        ("content_type_twice.http", [StreamUpdate({"GITHUB_TOKEN": "v2"})]),
        ("unnamed_data_keepalives.http", []),
    ],
)
async def test_odd_streams_are_read_before_they_end(
    server: "FaultServer", http: Http, case: str, events: list[StreamEvent]
) -> None:
    """Events are returned while the stream stays open and silent."""
    never = anyio.Event()
    server.plan("/", [(CASES / case).read_bytes(), never])
    found, complaint = await read(http, max_age_seconds=0.1)
    assert (found, complaint) == (events, "")
    never.set()


PACKED = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")


@pytest.mark.parametrize(
    "steps",
    [
        [PACKED, gzip.compress(A + B)],
        [PACKED, gzip.compress(A), gzip.compress(B)],
        [PACKED.replace(b"gzip", b"x-gzip"), gzip.compress(A + B)],
        [PACKED.replace(b"gzip", b"gzip, gzip"), gzip.compress(A + B)],
        [PACKED, *(bytes([b]) for b in gzip.compress(A + B))],
    ],
    ids=["whole", "members", "x-gzip", "named-twice", "bytes"],
)
async def test_a_packed_stream_is_unpacked(
    server: "FaultServer", http: Http, steps: "list[Step]"
) -> None:
    """A proxy may compress a stream against our request: its events are the same."""
    server.plan("/", steps)
    assert await read(http) == (BOTH, ENDED)


async def test_a_packed_event_comes_when_it_is_flushed(
    server: "FaultServer", http: Http
) -> None:
    """An event is returned once its bytes are there, before the member ends."""
    never = anyio.Event()
    packer = zlib.compressobj(wbits=31)
    event = packer.compress(A) + packer.flush(zlib.Z_SYNC_FLUSH)
    server.plan("/", [PACKED, event, never])
    assert await read(http, max_age_seconds=0.1) == (BOTH[:1], "")
    never.set()


@pytest.mark.parametrize(
    ("flood", "complaint"),
    [
        (
            gzip.compress(b"data: " + b"x" * 2**24, mtime=0),
            "an event of the stream is larger",
        ),
        (b"no gzip", "the compressed stream is damaged"),
        (gzip.compress(B, mtime=0)[:-8] + b"damaged!", "the compressed stream is damaged"),
    ],
    ids=["bomb", "none", "checksum"],
)
async def test_a_packed_stream_is_bounded(
    server: "FaultServer", http: Http, flood: bytes, complaint: str
) -> None:
    """Data that unpack to too much, or not at all, end the stream after earlier events."""
    server.plan("/", [PACKED, gzip.compress(A) + flood])
    found, error = await read(http)
    assert (found[:1], error[: len(complaint)]) == (BOTH[:1], complaint)
