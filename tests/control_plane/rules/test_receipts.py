"""The receipt of a rotation: who holds it, who uses it, may the old value go."""

from typing import Any

import pytest

from rensei_platform.rules.receipts import (
    MAX_SESSIONS,
    Receipt,
    SessionUptake,
    Uptake,
    read_uptake,
    receipt,
)


def session(host: str, version: int = 7, **more: Any) -> SessionUptake:
    """Return a session of a host, whose id is that of the host with an s."""
    return SessionUptake(host_id=host, session_id=f"{host}s", version=version, **more)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Uptake.CONFIRMED),
        ({"confirmed": 2}, Uptake.CONFIRMED),
        ({"confirmed": 2, "received": 1}, Uptake.RECEIVED),
        ({"confirmed": 2, "received": 1, "unknown": 1}, Uptake.UNKNOWN),
        ({"confirmed": 2, "behind": ("TOKEN",)}, Uptake.BEHIND),
        ({"version": 8}, Uptake.CONFIRMED),
        ({"version": 6, "confirmed": 2}, Uptake.BEHIND),
    ],
)
def test_the_slowest_consumer_decides(said: dict[str, Any], expected: Uptake) -> None:
    """A newer version holds every earlier rotation."""
    assert session("a", **said).of(7) is expected


def test_a_receipt_counts_sessions() -> None:
    """Each session is counted once, and those that are behind are named in order."""
    late, waiting = session("d", 6), session("c", behind=("TOKEN",))
    sessions = [
        session("a"),
        late,
        session("b", received=1),
        waiting,
        session("e", unknown=1),
    ]
    assert receipt(7, sessions, notified=5) == Receipt(
        notified=5,
        held=4,
        confirmed=1,
        received=1,
        unknown=1,
        behind=(waiting, late),
        unknown_hosts=(),
        vanished_hosts=(),
        is_safe=False,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"sessions": [session("a", unknown=1)]}, False),
        ({"sessions": [session("a", unknown=1)], "accept_unknown": True}, True),
        ({"sessions": [session("a", unknown=1)], "excluded_hosts": ["a"]}, True),
        ({"unknown_hosts": ["a"]}, False),
        ({"unknown_hosts": ["a"], "accept_unknown": True}, True),
        ({"unknown_hosts": ["a"], "excluded_hosts": ["a"]}, True),
        ({"vanished_hosts": ["a"]}, False),
        ({"vanished_hosts": ["a"], "accept_unknown": True}, False),
        ({"vanished_hosts": ["a"], "excluded_hosts": ["a"]}, True),
        ({"sessions": [session("a", 6)], "accept_unknown": True}, False),
        ({"sessions": [session("a", 6)], "excluded_hosts": ["a"]}, True),
        ({"sessions": [session("a", 6)], "excluded_hosts": ["b"]}, False),
    ],
)
def test_what_makes_it_unsafe(given: dict[str, Any], expected: bool) -> None:
    """Whoever may still use the old value, unless an operator has said otherwise."""
    sessions = given.pop("sessions", [])
    assert receipt(7, sessions, notified=1, **given).is_safe is expected


def test_reports_are_read_liberally() -> None:
    """What is no report of a session is skipped, and costs no other."""
    said: list[Any] = [
        None, 7, [], {}, {"id": "a"}, {"id": "", "version": 1}, {"id": 7, "version": 1},
        {"id": "a", "version": -1}, {"id": "a", "version": True},
        {"id": "a", "version": 2**63}, {"id": "i" * 257, "version": 1},
        {"id": "b\0\ud800", "version": 0, "consumers": [], "behind": {}},
        {
            "id": "c",
            "version": 9,
            "consumers": {"confirmed": 1, "received": -1, "unknown": "2"},
            "behind": ["TOKEN", 7],
            "later": 1,
        },
    ]  # fmt: skip
    assert read_uptake("h", said) == (
        SessionUptake(host_id="h", session_id="b\ufffd?", version=0),
        SessionUptake(
            host_id="h", session_id="c", version=9, confirmed=1, behind=("TOKEN",)
        ),
    )


@pytest.mark.parametrize("value", [None, {}, "x", 7])
def test_no_report_is_none(value: object) -> None:
    """Which is not the same as a host without sessions."""
    assert read_uptake("h", value) is None
    assert read_uptake("h", []) == ()


def test_reports_are_bounded() -> None:
    """Beyond the limits nothing is read."""
    many = [{"id": f"s{n}", "version": 1} for n in range(MAX_SESSIONS + 5)]
    assert len(read_uptake("h", many) or ()) == MAX_SESSIONS
    long = {"id": "i" * 256, "version": 1, "behind": ["n" * 999] * 999}
    (read,) = read_uptake("h", [long]) or ()
    assert (len(read.session_id), len(read.behind), len(read.behind[0])) == (256, 100, 256)
