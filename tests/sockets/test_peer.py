"""What a process at the other end may do, and how it is named."""

import os
from pathlib import Path

import pytest

from rensei_daemon.sockets.peer import UNKNOWN_PEER, Peer


@pytest.mark.parametrize(
    ("uid", "own", "trusted"), [(0, 990, True), (990, 990, True), (1000, 990, False)]
)
def test_root_and_the_daemons_user_are_trusted(uid: int, own: int, trusted: bool) -> None:
    """Every other user can only read, and a client over TCP has no user."""
    assert Peer(pid=1, uid=uid).is_trusted(own) is trusted
    assert not UNKNOWN_PEER.is_trusted(own)


@pytest.mark.parametrize(
    ("uid", "gids", "may"),
    [
        (0, {0}, True),
        (1000, {5}, True),
        (7, {7, 42}, True),
        (7, {7, 41}, False),
    ],
)
def test_members_root_and_the_daemons_user_may(uid: int, gids: set[int], may: bool) -> None:
    """Of a session with group 42, asked of a daemon that runs as user 1000."""
    peer = Peer(pid=1, uid=uid, gids=frozenset(gids))
    assert peer.may_have(42, own_uid=1000) is may
    assert peer.may_have(None, own_uid=1000)


def test_a_process_cannot_steer_a_screen_by_its_name() -> None:
    """Invisible characters of its name are escaped."""
    comm = Path("/proc/self/comm")
    usual = comm.read_text()
    comm.write_text("a\x1b[2J\u202e")
    try:
        pid = os.getpid()
        title = Peer(pid=pid, uid=0, gids=frozenset()).title
        assert title == f"a\\x1b[2J\\u202e (pid {pid})"
    finally:
        comm.write_text(usual)


def test_a_reader_is_named_for_people() -> None:
    """By its program and its pid."""
    name = Path("/proc/self/comm").read_text().strip()
    peer = Peer(pid=os.getpid(), uid=0, gids=frozenset())
    assert peer.title == f"{name} (pid {os.getpid()})"
    assert Peer(pid=2**22 + 1, uid=0, gids=frozenset()).title.startswith("process (pid ")
