"""Which session a command means, by what the daemon says over the credential socket."""

import select
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential_frames import SessionList, SessionState
from rensei_daemon.delivery import session_query
from rensei_daemon.delivery.reader_connection import ReaderTimeouts
from rensei_daemon.delivery.session_query import choose_session, query_sessions
from rensei_daemon.errors import DeliveryError, NotPermittedError, RenseiError, UsageError

if TYPE_CHECKING:
    from delivery.conftest import Lab

BUILD, TEST = SessionState("build", ""), SessionState("test", "no credentials")


@pytest.mark.parametrize(
    ("found", "named", "chosen"),
    [
        (SessionList([BUILD], []), None, BUILD),
        (SessionList([TEST], ["build", "other"]), None, TEST),
        (SessionList([BUILD, TEST], []), "test", TEST),
    ],
)
def test_the_named_session_or_the_only_one(
    found: SessionList, named: str | None, chosen: SessionState
) -> None:
    """Sessions that the caller may not have are no choice."""
    assert choose_session(found, named) == chosen


@pytest.mark.parametrize(
    ("found", "named", "error", "said"),
    [
        (SessionList([BUILD, TEST], []), None, UsageError, "--session build|test"),
        (SessionList([], []), None, UsageError, "no session is configured"),
        (SessionList([], ["build"]), None, NotPermittedError, "of any session"),
        (SessionList([BUILD], ["x"]), "x", NotPermittedError, "of session x"),
        (SessionList([BUILD], ["x"]), "y", UsageError, "there is no session y"),
    ],
)
def test_what_cannot_be_chosen_is_said(
    found: SessionList, named: str | None, error: type[RenseiError], said: str
) -> None:
    """A choice, no session at all, and a session of another group differ."""
    with pytest.raises(error) as raised:
        choose_session(found, named)
    assert said in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        (
            credential_frames.bye(credential_frames.HELLO_UNREADABLE),
            UsageError,
            "older than this program",
        ),
        (
            credential_frames.bye(credential_frames.TOO_MANY),
            DeliveryError,
            ": too many readers",
        ),
        (b"\n", DeliveryError, "does not list its sessions"),
    ],
)
async def test_a_daemon_that_does_not_answer(
    tmp_path: Path, line: bytes, error: type[RenseiError], said: str
) -> None:
    """An older daemon, a busy one and one that closes the connection are distinguished."""
    path = tmp_path / "socket"
    async with await anyio.create_unix_listener(path) as listener:

        async def answer(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                assert await stream.receive() == credential_frames.session_query()
                await stream.send(line)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, answer)
            query = partial(query_sessions, path, wait_seconds=0)
            with pytest.raises(error, match=said):
                await anyio.to_thread.run_sync(query)
            tasks.cancel_scope.cancel()


async def test_a_daemon_that_hangs_is_given_no_longer_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel connects for a stopped process too; that is said of it."""
    monkeypatch.setattr(session_query, "SHORTEST_SECONDS", 0.05)
    path = tmp_path / "socket"
    query = partial(query_sessions, path, wait_seconds=0.2)
    async with await anyio.create_unix_listener(path):
        with (
            anyio.fail_after(session_query.ANSWER_SECONDS),
            pytest.raises(DeliveryError, match="the daemon runs but does not answer"),
        ):
            await anyio.to_thread.run_sync(query, abandon_on_cancel=True)


async def test_a_daemon_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    """One that is not there yet, or just stops, is given the time that there is."""
    path = tmp_path / "socket"
    answers = [b"", credential_frames.session_list(SessionList([BUILD], []))]
    async with anyio.create_task_group() as tasks:

        async def answer(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                assert await stream.receive() == credential_frames.session_query()
                await stream.send(answers.pop(0) or b"\n")

        found: list[SessionList] = []

        async def ask() -> None:
            query = partial(query_sessions, path, wait_seconds=10)
            found.append(await anyio.to_thread.run_sync(query))
            tasks.cancel_scope.cancel()

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        async with await anyio.create_unix_listener(path) as listener:
            with anyio.fail_after(HANG_SECONDS):
                await listener.serve(answer)
    assert found == [SessionList([BUILD], [])]
    assert answers == []


async def test_the_answer_is_as_the_daemon_has_it(lab: "Lab") -> None:
    """Every session with what is missing of it, or the named one alone."""
    async with lab.listening() as credential_socket:
        credential_socket.subscribers("test", None)
        credential_socket.subscribers("build", None).missing = lambda: ""
        ask = partial(query_sessions, lab.path, wait_seconds=0)
        assert await anyio.to_thread.run_sync(ask) == SessionList([BUILD, TEST], [])
        assert await anyio.to_thread.run_sync(ask, "test") == SessionList([TEST], [])
        assert await anyio.to_thread.run_sync(ask, "nope") == SessionList([], [])


async def test_a_session_that_starts_anew_is_without_credentials(lab: "Lab") -> None:
    """What it had counts no more once its settings have changed."""
    async with lab.listening() as credential_socket:
        credential_socket.subscribers("test", None).missing = lambda: ""
        credential_socket.subscribers("test", None)
        ask = partial(query_sessions, lab.path, wait_seconds=0)
        assert await anyio.to_thread.run_sync(ask) == SessionList([TEST], [])


@pytest.mark.parametrize(
    "line", [b"", credential_frames.session_list(SessionList([BUILD], []))]
)
async def test_an_answer_that_does_not_end_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    """It is neither awaited nor read without end."""
    monkeypatch.setattr(session_query, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(session_query, "MAX_ANSWER_BYTES", 40)
    path = tmp_path / "socket"
    async with await anyio.create_unix_listener(path) as listener:

        async def answer(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                assert await stream.receive() == credential_frames.session_query()
                await stream.send(line or b"{")
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, answer)
            query = partial(query_sessions, path, wait_seconds=0)
            with anyio.fail_after(HANG_SECONDS), pytest.raises(DeliveryError):
                await anyio.to_thread.run_sync(query)
            tasks.cancel_scope.cancel()


async def test_who_asks_and_does_not_read_is_let_go(lab: "Lab") -> None:
    """A long answer to a silent reader takes a place for as long as a stall may."""
    async with lab.listening(ReaderTimeouts(stall_seconds=0.05)) as credential_socket:
        for number in range(3000):
            credential_socket.subscribers(f"session-{number}", None).missing = lambda: (
                "x" * 500
            )
        reader = lab.connect(credential_frames.session_query())
        gone = select.poll()
        gone.register(reader.socket, select.POLLRDHUP)
        assert await anyio.to_thread.run_sync(gone.poll, 5000)
        assert await reader.line() == b""
