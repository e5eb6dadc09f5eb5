"""The credential socket, with readers that speak the public client's protocol."""

import os
import resource
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

if TYPE_CHECKING:
    from delivery.conftest import Lab, Publisher, Reader

from rensei_daemon.delivery.connection_quota import ConnectionQuota
from rensei_daemon.delivery.credential_socket import SPARE_DESCRIPTORS
from rensei_daemon.delivery.reader_connection import ReaderConnection as Connection
from rensei_daemon.delivery.reader_connection import ReaderTimeouts
from rensei_daemon.sockets.peer import peer_of

HELLO = b'{"type":"HELLO","sessionId":"build"}\n'
SHORT = ReaderTimeouts(hello_seconds=0.15, first_seconds=0.15, stall_seconds=0.3)


async def test_a_hello_is_answered_with_everything(lab: "Lab") -> None:
    """HELLO brings INITIAL in these very bytes."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(TOKEN="alt", URL="http://ü/")
        reader = lab.connect(HELLO)
        assert (
            await reader.line()
            == b'{"type":"INITIAL","env":{"TOKEN":"alt","URL":"http://\\u00fc/"}}\n'
        )


async def test_an_update_holds_only_what_changed(lab: "Lab") -> None:
    """UPDATE has the changed and new names, and when; equal values are no news."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1", B="2")
        reader = lab.connect(HELLO)
        await reader.frame()
        await publisher.publish(A="1", B="two", C="3")
        frame = await reader.frame()
    assert list(frame) == ["type", "delta", "rotatedAt"]
    assert (frame["type"], frame["delta"]) == ("UPDATE", {"B": "two", "C": "3"})
    assert frame["rotatedAt"].endswith("Z")


async def test_a_removed_name_brings_everything_anew(lab: "Lab") -> None:
    """No frame removes a name: another INITIAL, on the same connection."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1", B="2")
        reader = lab.connect(HELLO)
        await reader.frame()
        await publisher.publish(A="1")
        assert await reader.frame() == {"type": "INITIAL", "env": {"A": "1"}}
        await publisher.publish(A="2")
        frame = await reader.frame()
        assert (frame["type"], frame["delta"]) == ("UPDATE", {"A": "2"})


async def test_a_hello_may_come_before_the_first_snapshot(lab: "Lab") -> None:
    """It is held, and answered as soon as there is something to say."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        reader = lab.connect(HELLO)
        await anyio.wait_all_tasks_blocked()
        await publisher.publish(A="1")
        assert await reader.frame() == {"type": "INITIAL", "env": {"A": "1"}}


async def test_it_is_not_held_for_ever(lab: "Lab") -> None:
    """Without a first snapshot it gets BYE, so that the client can continue without."""
    async with lab.listening(SHORT) as credential_socket:
        credential_socket.subscribers("build", None)
        reader = lab.connect(HELLO)
        assert await reader.frame() == {"type": "BYE", "reason": "no credentials yet"}
        assert await reader.line() == b""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "no HELLO arrived in time"),
        (b'{"type":"HELLO"', "no HELLO arrived in time"),
        (b"GET / HTTP/1.1\n", "the first line was not a HELLO"),
        (b"\xff\xfe\n", "the first line was not a HELLO"),
        (b"[" * 4000 + b"\n", "the first line was not a HELLO"),
        (b'{"type":"HELLO","sessionId":7}\n', "the first line was not a HELLO"),
        (b'{"type":"BYE"}\n', "the first line was not a HELLO"),
        (b"x" * 9000, "the first line was not a HELLO"),
        (b'{"type":"HELLO","sessionId":"nope"}\n', "unknown session"),
        (
            b'{"type":"HELLO","sessionId":"' + b"a" * 5000 + b'"}\n',
            "the first line was not a HELLO",
        ),
    ],
)
async def test_whoever_does_not_say_a_good_hello_is_sent_away(
    lab: "Lab",
    said: bytes,
    reason: str,
) -> None:
    """A late, oversized, garbled or unknown HELLO gets BYE with the reason, and the end."""
    async with lab.listening(SHORT) as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", None)).publish(A="1")
        reader = lab.connect(said)
        assert await reader.frame() == {"type": "BYE", "reason": reason}
        assert await reader.line() == b""


async def test_a_hello_may_arrive_in_pieces_and_hold_more(lab: "Lab") -> None:
    """Bytes come as they come, `capability` is accepted, and what follows passed over."""
    async with lab.listening() as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", None)).publish(A="1")
        reader = lab.connect()
        said = (
            b'{"type":"HELLO","sessionId":"build","capability":"cap_1"}\n{"type":"PING"}\n'
        )
        for byte in said:
            await reader.send(bytes([byte]))
        assert (await reader.frame())["type"] == "INITIAL"


def connected(publisher: "Publisher") -> list[str]:
    """Return the names of the readers that are connected."""
    consumers = publisher.subscribers.consumers
    return [line.name for line in consumers if line.kind == "socket"]


async def test_a_reader_that_leaves_is_connected_no_more(lab: "Lab") -> None:
    """BYE or an end alike."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        polite, rude = lab.connect(HELLO), lab.connect(HELLO)
        await polite.frame()
        await rude.frame()
        await publisher.until(lambda: len(publisher.subscribers.consumers) == 2)
        await polite.send(b'{"type":"BYE"}\n')
        assert await polite.line() == b""
        rude.close()
        await publisher.until(lambda: not connected(publisher))


async def test_uptake_is_noted_for_each_reader(lab: "Lab") -> None:
    """Every reader is a consumer with the generation it has been given."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        first, second = lab.connect(HELLO), lab.connect(HELLO)
        await first.frame()
        await second.frame()
        await publisher.publish(A="2")
        await publisher.until(
            lambda: [line.generation for line in publisher.subscribers.consumers] == [2, 2]
        )
        (line, _) = publisher.subscribers.consumers
        assert line.kind == "socket"
        assert line.name.endswith(f"(pid {os.getpid()})")


async def test_a_reader_that_does_not_read_holds_up_nobody(lab: "Lab") -> None:
    """The others get every value at once; the slow one gets the newest, or BYE."""
    async with lab.listening(SHORT) as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="x")
        slow, quick = lab.connect(HELLO), lab.connect(HELLO)
        await slow.frame()
        await quick.frame()
        for number in range(40):
            await publisher.publish(A=f"{number}" + "x" * 20_000)
            frame = await quick.frame()
            assert frame["delta"]["A"].startswith(f"{number}x")
        await publisher.until(lambda: len(publisher.subscribers.consumers) == 1)
        frames = [frame async for frame in _until_the_end(slow)]
    assert [frame["type"] for frame in frames[:-1]] == ["UPDATE"] * (len(frames) - 1)
    assert frames[-1] == {"type": "BYE", "reason": "too slow"}


async def test_a_slow_reader_that_catches_up_skips_to_the_newest(lab: "Lab") -> None:
    """What was overtaken is never said: a handful of frames for two hundred rotations."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="x")
        slow = lab.connect(HELLO)
        await slow.frame()
        for number in range(200):
            await publisher.publish(A=f"{number}" + "x" * 20_000)
            await anyio.wait_all_tasks_blocked()
        seen = 0
        while not (await slow.frame())["delta"]["A"].startswith("199x"):
            seen += 1
        assert seen < 30


async def test_a_worker_that_restarts_amid_rotations_has_the_newest(lab: "Lab") -> None:
    """Whenever it connects, its INITIAL has the newest values, and no update is lost."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        for number in range(50):
            await publisher.publish(A=str(number))
            worker = lab.connect(HELLO)
            await publisher.publish(A=f"{number} again")
            frame = await worker.frame()
            while {**frame.get("env", {}), **frame.get("delta", {})}[
                "A"
            ] != f"{number} again":
                frame = await worker.frame()
            worker.close()
        await publisher.until(lambda: not connected(publisher))


async def test_an_idle_reader_is_told_on_the_spot(lab: "Lab") -> None:
    """The frame is sent in the next turn: no task of the reader is woken for it."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        await anyio.wait_all_tasks_blocked()
        for value in ("2", "3"):
            await publisher.publish(A=value)
            await anyio.lowlevel.checkpoint()
            assert f'"A":"{value}"'.encode() in reader.socket.recv(4096)


async def test_a_frame_that_fit_in_part_is_completed(lab: "Lab") -> None:
    """As soon as the reader has read what came before."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    near.setblocking(False)
    async with lab.listening() as credential_socket, anyio.create_task_group() as tasks:
        subscribers = credential_socket.subscribers("build", None)
        publisher = lab.publishing(subscribers)
        await publisher.publish(A="1")
        reader = lab.over(far)
        await reader.send(HELLO)
        connection = Connection(
            near,
            peer_of(near),
            {"build": subscribers},
            ReaderTimeouts(),
            ConnectionQuota(8),
        )
        tasks.start_soon(connection.serve)
        await reader.frame()
        await anyio.wait_all_tasks_blocked()
        await publisher.publish(A="x" * 30_000)
        assert (await reader.frame())["delta"] == {"A": "x" * 30_000}
        tasks.cancel_scope.cancel()


async def test_nothing_is_said_in_the_middle_of_a_frame(lab: "Lab") -> None:
    """A shutdown cuts a frame short rather than put a BYE in it."""
    async with lab.listening() as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", None)).publish(
            A="v" * 1_000_000
        )
        reader = lab.connect(HELLO)
        await anyio.wait_readable(reader.socket)
        await anyio.wait_all_tasks_blocked()
    said = b""
    while data := reader.socket.recv(65536):
        said += data
    assert said.startswith(b'{"type":"INITIAL"')
    assert b"BYE" not in said


async def test_a_frame_larger_than_the_kernels_buffer_arrives_whole(lab: "Lab") -> None:
    """A megabyte of values is sent as the reader reads."""
    big = "v" * 1_000_000
    async with lab.listening() as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", None)).publish(A=big)
        assert (await lab.connect(HELLO).frame())["env"] == {"A": big}


async def test_readers_of_a_removed_session_are_told(lab: "Lab") -> None:
    """BYE at once; a later HELLO is to an unknown session."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader, waiting = lab.connect(HELLO), lab.connect()
        await reader.frame()
        await publisher.subscribers.withdraw()
        assert await reader.frame() == {"type": "BYE", "reason": "the session was removed"}
        await waiting.send(HELLO)
        assert await waiting.frame() == {"type": "BYE", "reason": "unknown session"}


async def test_readers_stay_while_their_session_starts_anew(lab: "Lab") -> None:
    """With other settings, the readers stay and get only what differs."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1", B="2")
        reader = lab.connect(HELLO)
        await reader.frame()
        anew = lab.publishing(credential_socket.subscribers("build", None))
        await anew.publish(A="1", B="2")
        await anew.until(lambda: bool(anew.subscribers.consumers))
        await anew.publish(A="1", B="3")
        assert (await reader.frame())["delta"] == {"B": "3"}


async def test_everybody_is_told_of_the_shutdown(lab: "Lab") -> None:
    """BYE to readers and to those who have not sent a HELLO; then the file is removed."""
    async with lab.listening() as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", None)).publish(A="1")
        reader, silent = lab.connect(HELLO), lab.connect()
        await reader.frame()
    goodbye = {"type": "BYE", "reason": "shutdown"}
    assert [await reader.frame(), await silent.frame()] == [goodbye, goodbye]
    assert not (lab.path).exists()


async def test_a_socket_that_a_cleaner_removed_is_bound_again(
    lab: "Lab", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that was there stays, and another finds its way."""
    monkeypatch.setattr("rensei_daemon.sockets.persistent_socket.CHECK_SECONDS", 0.01)
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        readers = [lab.connect(HELLO)]
        await readers[0].frame()
        lab.path.unlink()
        while len(readers) < 2:
            await anyio.lowlevel.checkpoint()
            with suppress(OSError):
                readers.append(lab.connect(HELLO))
        assert (await readers[1].frame())["env"] == {"A": "1"}
        await publisher.publish(A="2")
        for reader in readers:
            assert (await reader.frame())["delta"] == {"A": "2"}


@pytest.mark.slow
async def test_a_thousand_readers_hear_of_a_rotation(
    lab: "Lab",
    many_descriptors: None,
) -> None:
    """All of them, and each is on the board."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        readers = []
        for _ in range(1000):
            readers.append(lab.connect(HELLO))
            if len(readers) % 100 == 0:
                await anyio.wait_all_tasks_blocked()
        for reader in readers:
            assert (await reader.frame())["env"] == {"A": "1"}
        await publisher.publish(A="2")
        for reader in readers:
            assert (await reader.frame())["delta"] == {"A": "2"}
        assert len(publisher.subscribers.consumers) == 1000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process open some thousands of files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def few_places() -> Iterator[int]:
    """Let this process open some hundred files; half of the places are so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    most = lowest + 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + SPARE_DESCRIPTORS, hard))
    yield most // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_user_or_a_session_cannot_take_all_places(
    lab: "Lab", few_places: int
) -> None:
    """At most half; the next one gets the reason. A closed connection is free again."""
    told: list[tuple[str, str]] = []
    turned_away = {"type": "BYE", "reason": "too many readers"}
    async with lab.listening() as credential_socket:
        credential_socket.on_reader_refused = lambda *news: told.append(news)
        for session in ("build", "test"):
            await lab.publishing(credential_socket.subscribers(session, None)).publish(
                A="1"
            )
        readers = [lab.connect(HELLO) for _ in range(few_places)]
        for reader in readers:
            assert (await reader.frame())["type"] == "INITIAL"
        assert await lab.connect().frame() == turned_away
        readers.pop().close()
        while await lab.connect(HELLO).frame() == turned_away:
            pass  # its end has not been noticed yet
    assert [whose for whose, _ in told] == [f"user {os.geteuid()}"] * 2
    assert told[0][1].startswith(f"holds {few_places} of ")


async def test_a_session_has_half_of_the_places_whoever_its_readers_are(
    lab: "Lab",
) -> None:
    """Readers of another session find theirs."""
    told: list[tuple[str, str]] = []
    async with lab.listening() as credential_socket, anyio.create_task_group() as tasks:
        subscribers_of = {
            session: credential_socket.subscribers(session, None)
            for session in ("build", "test")
        }
        for subscribers in subscribers_of.values():
            await lab.publishing(subscribers).publish(A="1")
        quota = ConnectionQuota(2, lambda *news: told.append(news))

        async def hello(session: str) -> str:
            near, far = socket.socketpair()
            near.setblocking(False)
            tasks.start_soon(
                Connection(
                    near, peer_of(near), subscribers_of, ReaderTimeouts(), quota
                ).serve
            )
            reader = lab.over(far)
            await reader.send(b'{"type":"HELLO","sessionId":"%s"}\n' % session.encode())
            frame = await reader.frame()
            return str(frame.get("reason", frame["type"]))

        said = [await hello(session) for session in ("build", "build", "test")]
        assert said == ["INITIAL", "too many readers", "INITIAL"]
        assert told == [("session build", "holds 1 of 2 places")]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("gid", "mode"), [(None, "srw-------"), (os.getegid(), "srw-rw----")]
)
async def test_the_file_is_open_to_the_group_alone(
    lab: "Lab", gid: int | None, mode: str
) -> None:
    """0600, or 0660 for the group that is named."""
    async with lab.listening(gid=gid):
        assert stat.filemode(lab.path.lstat().st_mode) == mode


async def _until_the_end(reader: "Reader") -> AsyncIterator[Any]:
    while (frame := await reader.frame()) is not None:
        yield frame
