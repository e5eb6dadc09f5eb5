"""`exec` with several sessions: one environment, and one reaction to all of them."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS
from polling import until

from rensei_daemon.cli.credential_feed import CredentialFeed
from rensei_daemon.cli.merged_sessions import merged, parse_rename, require_applicable
from rensei_daemon.cli.sessions_feed import SessionsFeed
from rensei_daemon.core.health import Proof
from rensei_daemon.delivery.credential_reader import CredentialReader
from rensei_daemon.errors import UsageError

if TYPE_CHECKING:
    from cli.conftest import Command, Host

WORKER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.write(1, f"start {os.environ.get('A')} {os.environ.get('B')}\\n".encode())
while True: signal.pause()
"""
BOTH = ("--session=one", "--session=two")
ENV = ("--config={config}", "--", "env")


async def _exec(host: "Host", *words: str) -> tuple[int, dict[str, str], str]:
    code, out, err = await host.run("exec", *words, *ENV)
    env = dict(line.split("=", 1) for line in out.splitlines())
    return code, {name: env[name] for name in env if "CREDENTIAL" not in name}, err


async def test_a_command_gets_the_values_of_all_its_sessions(host: "Host") -> None:
    """Under new names where that was asked for; the first session is the socket's."""
    host.add("one")
    host.add("two")
    async with host.up():
        await host.rotate("one", TOKEN="1", A="a")
        await host.rotate("two", TOKEN="2", B="b")
        words = (*BOTH, "--session=one", "--rename=two:TOKEN=OTHER", "--rename=A=C")
        code, env, err = await _exec(host, *words)
        _, out, _ = await host.run("exec", *words, *ENV)
    del env["PATH"]
    assert (code, env, err) == (0, {"TOKEN": "1", "C": "a", "OTHER": "2", "B": "b"}, "")
    assert "RENSEI_CREDENTIAL_SESSION_ID=one\n" in out


async def test_two_values_of_one_name_are_refused(host: "Host") -> None:
    """The error names the name, both sessions and the remedy, and no value."""
    host.add("one")
    host.add("two")
    async with host.up():
        await host.rotate("one", TOKEN="canary")
        await host.rotate("two", TOKEN="canary")
        code, _, err = await _exec(host, *BOTH)
    assert code == 64
    assert err.splitlines() == [
        "rensei-daemon: the sessions one and two both have TOKEN",
        "  give one of them another name: --rename two:TOKEN=NEW",
    ]


@pytest.mark.parametrize("sessions", [("--session=one",), ()])
async def test_a_rename_in_another_session_is_refused(
    host: "Host", sessions: tuple[str, ...]
) -> None:
    """An unknown session would leave the command without the value."""
    host.add("one")
    async with host.up():  # and no values yet: they are not waited for
        code, env, err = await _exec(host, *sessions, "--rename=uno:TOKEN=OTHER")
    assert (code, env) == (64, {})
    assert err.splitlines() == [
        "rensei-daemon: --rename uno:TOKEN=OTHER: uno is no session of CMD",
        "  its sessions: one",
    ]


def test_one_value_has_one_new_name() -> None:
    """The last one would win in silence; one session may differ from all others."""
    twice = [parse_rename("A=B"), parse_rename("A=C")]
    with pytest.raises(UsageError, match="A cannot have two new names"):
        require_applicable(["one"], twice)
    require_applicable(["one", "two"], [parse_rename("A=B"), parse_rename("two:A=C")])
    require_applicable(["one"], [parse_rename("A=B"), parse_rename("A=B")])


def test_a_rename_into_a_name_that_is_there_is_refused() -> None:
    """In one session too."""
    with pytest.raises(UsageError, match="session one: A and B would both be B"):
        merged(["one"], ({"A": "1", "B": "2"},), [parse_rename("A=B")])


@pytest.mark.parametrize("text", ["A", "=B", "one:=B", "A=", "A=PATH", "A=a b", "A=B=C"])
def test_a_rename_that_makes_no_sense_is_refused(text: str) -> None:
    """Nor may one make a credential a name that would hijack the command."""
    with pytest.raises(ValueError, match=r"must be OLD=NEW|no credential may have"):
        parse_rename(text)


async def test_a_session_without_values_is_said_to_be(host: "Host") -> None:
    """The command gets those of the other one, and sees that something is missing."""
    host.add("one")
    host.add("two")
    async with host.up():
        await host.rotate("one", A="a")
        words = ("--wait=1", "--without-credentials", *BOTH, *ENV)
        code, out, err = await host.run("exec", *words)
    assert code == 0
    assert "A=a\n" in out
    assert "RENSEI_CREDENTIAL_SNAPSHOT_FAILED=1\n" in out
    assert err.endswith("; going on without credentials\n")


@asynccontextmanager
async def _worker(host: "Host", *options: str) -> AsyncIterator["Command"]:
    words = ("exec", "--config={config}", *BOTH, "--on-rotate=restart", *options, "--")
    argv = (*words, sys.executable, "-S", "-E", "-c", WORKER)
    with anyio.fail_after(HANG_SECONDS):
        async with host.running(*argv) as command:
            yield command


def confirmed(host: "Host", session_id: str) -> list[int | None]:
    """Return the generations that its consumers have confirmed."""
    subscribers = host.door.find(session_id)
    assert subscribers is not None
    consumers = [c for c in subscribers.consumers if c.kind == "socket"]
    return [c.generation for c in consumers if c.proof is Proof.CONFIRMED]


async def test_a_rotation_of_any_session_restarts_the_command(host: "Host") -> None:
    """Once for both when they rotate together, and both are confirmed then."""
    host.add("one")
    host.add("two")
    async with host.up(), _worker(host) as worker:
        await host.rotate("one", A="1")
        await host.rotate("two", B="1")
        assert await worker.line() == "start 1 1"
        await until(lambda: confirmed(host, "one") == confirmed(host, "two") == [1])
        await host.rotate("one", A="2")
        await host.rotate("two", B="2")
        assert await worker.line() == "start 2 2"
        await until(lambda: confirmed(host, "one") == confirmed(host, "two") == [2])


async def test_values_that_collide_later_leave_the_command_as_it_is(host: "Host") -> None:
    """It says so once, confirms nothing, and follows when they fit again."""
    host.add("one")
    host.add("two")
    async with host.up(), _worker(host) as worker:
        await host.rotate("one", A="1")
        await host.rotate("two", B="1")
        assert await worker.line() == "start 1 1"
        await host.rotate("two", A="canary", B="2")
        assert worker.process.stderr is not None
        said = await worker.process.stderr.receive()
        assert b"the sessions one and two both have A; the command keeps" in said
        assert b"canary" not in said
        assert confirmed(host, "two") == [1]
        await host.rotate("two", B="3")
        assert await worker.line() == "start 1 3"
        await until(lambda: confirmed(host, "two") == [3])


class _Feed(CredentialFeed):
    """A feed whose values a test sets."""

    def __init__(self, session_id: str) -> None:
        super().__init__(CredentialReader(None, session_id), {"A": "1"})  # type: ignore[arg-type]

    def listen(self) -> None:
        pass


@pytest.mark.parametrize(
    ("count", "splay", "least"), [(1, 0, 0.0), (2, 0, 0.2), (1, 60, 45)]
)
def test_the_wait_begins_with_the_first_of_several_rotations(
    monkeypatch: pytest.MonkeyPatch, count: int, splay: float, least: float
) -> None:
    """Newer values take it over: they neither end it nor begin it again."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("random.uniform", lambda low, high: low + 0.75 * (high - low))
    feeds = [_Feed(str(number)) for number in range(count)]
    feed = SessionsFeed(feeds, lambda values: dict(values[0] or {}), splay_seconds=splay)
    feed.take()
    for value in ("2", "3", "4"):
        feeds[0].values = {"A": value}
        feed.listen()
        clock[0] += 1
    assert feed.is_pending
    assert feed.due_at == 100 + least
    assert feed.take() == {"A": "4"}
    assert not feed.is_pending
