"""Streams to addresses that the platform's name no longer leads to."""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api.dead_peer import DeadPeerDetector
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.moved_peer import MovedPeerDetector
from rensei_daemon.platform_api.stream import FirstByte, open_stream

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.1"
AT_ONCE, NEVER = 0.0, 3600.0


@dataclass
class Names:
    """What a lookup finds, and what came of it."""

    found: Iterable[str] | Exception
    streams: DeadPeerDetector = field(default_factory=DeadPeerDetector)
    given_up: list[str] = field(default_factory=list)
    moves: int = 0

    async def look_up(self, host: str) -> Iterable[str]:
        """Find it, or fail."""
        assert host == "platform.test"
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def note_move(self) -> None:
        """Count."""
        self.moves += 1

    def detector(self, moved_after_seconds: float) -> MovedPeerDetector:
        """Return a detector that looks here."""
        return MovedPeerDetector(
            "platform.test",
            self.streams,
            self.note_move,
            self.look_up,
            moved_after_seconds=moved_after_seconds,
        )


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    """Give the test a connection to `HERE`."""
    with (
        socket.create_server((HERE, 0)) as listening,
        socket.create_connection(listening.getsockname()) as near,
        listening.accept()[0],
    ):
        yield near


@pytest.mark.parametrize(
    ("found", "moved_after", "is_moved"),
    [
        ([ELSEWHERE], AT_ONCE, True),
        ([ELSEWHERE], NEVER, False),  # it may be named again: so far it is one of several
        ([HERE, ELSEWHERE], AT_ONCE, False),
        (["::ffff:127.0.0.1"], AT_ONCE, False),
        ([], AT_ONCE, False),
        (socket.gaierror("no"), AT_ONCE, False),
        (TimeoutError(), AT_ONCE, False),
        (UnicodeError("label too long"), AT_ONCE, False),
    ],
    ids=["elsewhere", "just now", "both", "mapped", "none", "failed", "slow", "no name"],
)
async def test_a_stream_ends_once_its_address_is_named_no_more(
    connection: socket.socket,
    found: Iterable[str] | Exception,
    moved_after: float,
    is_moved: bool,
) -> None:
    """Only another answer moves it, and only after a while; a failed lookup never does."""
    names = Names(found)
    detector = names.detector(moved_after)
    with names.streams.watching(connection, names.given_up.append):
        await detector.look()
    said = ["its name no longer leads to 127.0.0.1 (DNS)"]
    assert (names.given_up, names.moves) == ((said, 1) if is_moved else ([], 0))


async def test_an_address_that_takes_turns_with_others_stays(
    connection: socket.socket,
) -> None:
    """A name server may name some of many addresses at a time."""
    names = Names([HERE])
    detector = names.detector(NEVER)
    with names.streams.watching(connection, names.given_up.append):
        for found in ([HERE], [ELSEWHERE], [HERE], [ELSEWHERE]):
            names.found = found
            await detector.look()
    assert names.given_up == []


async def test_a_connection_that_is_closed_is_nobodys(connection: socket.socket) -> None:
    """It has no address any more, and its stream ends by itself."""
    names = Names([ELSEWHERE])
    with names.streams.watching(connection, names.given_up.append):
        connection.close()
        await names.detector(AT_ONCE).look()
    assert names.given_up == []


async def test_what_is_an_address_is_not_looked_up(
    server: "FaultServer", http: Http
) -> None:
    """An address stays where it is."""
    http.moved_peers.look_seconds = 0.0
    with anyio.move_on_after(0.05) as waiting:
        await http.moved_peers.run()
    assert waiting.cancelled_caught
    assert http.moved_peers.host == "127.0.0.1"


async def test_requests_follow_and_those_under_way_are_completed(
    server: "FaultServer", http: Http
) -> None:
    """The stream ends with an error; a running request is answered, a new one too."""
    never, answer = anyio.Event(), anyio.Event()
    server.plan("rotate-stream", [HEAD, never])
    server.plan("slow", [answer, server.say(200, {"slow": True})])
    server.plan("next", server.say(200, {"next": True}))
    detector = http.moved_peers
    detector.moved_after_seconds = AT_ONCE

    async def elsewhere(host: str) -> list[str]:
        return [ELSEWHERE]

    detector.look_up = elsewhere
    with anyio.fail_after(HANG_SECONDS):
        async with (
            anyio.create_task_group() as tasks,
            open_stream(http, "b", KEY) as stream,
        ):
            assert await anext(stream) == FirstByte()
            slow: list[object] = []

            async def ask_slowly() -> None:
                slow.append((await http.call("GET", "/slow")).body)

            tasks.start_soon(ask_slowly)
            while not server.asked("slow"):
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(detector.look)
            with pytest.raises(TransientError, match="no longer leads to"):
                await anext(stream)
            assert (await http.call("GET", "/next")).body == {"next": True}
            answer.set()
            while not slow:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert slow == [{"slow": True}]
    never.set()
