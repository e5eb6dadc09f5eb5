"""The receipt of a rotation: who holds it, who uses it, may the old value go."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_platform.rules.receipts import (
    MAX_SESSIONS,
    Receipt,
    SessionUptake,
    Uptake,
    UptakeChanges,
    changes,
    read_uptake,
    receipt,
)


def session(host: str, version: int = 7, **more: Any) -> SessionUptake:
    """Return the first report of a session, whose id is that of the host with an s."""
    said = SessionUptake(host_id=host, session_id=f"{host}s", version=version, **more)
    return said.after(None)


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
    assert receipt(7, sessions, notified=5, newest=7) == Receipt(
        notified=5,
        held=4,
        confirmed=1,
        received=1,
        unknown=1,
        behind=(waiting, late),
        unknown_hosts=(),
        unknown_keys=(),
        vanished_hosts=(),
        obstacles=("2 sessions are behind", "1 session is unable to tell"),
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, True),
        ({"sessions": [session("a", unknown=1)]}, False),
        ({"sessions": [session("a", unknown=1)], "accept_unknown": True}, True),
        ({"sessions": [session("a", unknown=1)], "excluded": ["a"]}, True),
        ({"unknown_hosts": ["a"]}, False),
        ({"unknown_hosts": ["a"], "accept_unknown": True}, False),
        ({"unknown_hosts": ["a"], "excluded": ["a"]}, True),
        ({"unknown_keys": ["k"]}, False),
        ({"unknown_keys": ["k"], "accept_unknown": True}, False),
        ({"unknown_keys": ["k"], "excluded": ["k"]}, True),
        ({"unknown_hosts": ["a"], "silent_hosts": ["a"], "accept_unknown": True}, False),
        ({"unknown_hosts": ["a"], "silent_hosts": ["a"], "excluded": ["a"]}, True),
        ({"sessions": [session("a")], "silent_hosts": ["a"]}, True),
        ({"sessions": [session("a", 8)]}, False),
        ({"sessions": [session("a", 6)], "accept_unknown": True}, False),
        ({"sessions": [session("a", 6)], "excluded": ["a"]}, True),
        ({"sessions": [session("a", 6)], "excluded": ["b"]}, False),
    ],
)
def test_what_makes_it_unsafe(said: dict[str, Any], expected: bool) -> None:
    """Whoever may still use the old value, unless an operator has said otherwise."""
    sessions = said.pop("sessions", [])
    assert receipt(7, sessions, notified=1, newest=7, **said).is_safe is expected


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


def test_what_was_settled_stays_so() -> None:
    """Consumers that are behind a newer rotation have left what was before the older."""
    first = session("a", 7, received=1)
    next_ = replace(session("a", 9), behind=("hook",)).after(first)
    assert [next_.of(v) for v in (6, 7, 8, 9)] == [
        Uptake.RECEIVED, Uptake.RECEIVED, Uptake.BEHIND, Uptake.BEHIND,
    ]  # fmt: skip
    restarted = SessionUptake(
        host_id="a", session_id="as", version=0, behind=("hook",)
    ).after(next_)
    assert restarted.of(1) is Uptake.BEHIND


def test_a_report_names_every_session_of_its_host() -> None:
    """What it leaves out has ended, and what it repeats is no change."""
    stored = [session("a"), session("b"), session("c")]
    reported = [
        SessionUptake(host_id="a", session_id="as", version=7),
        SessionUptake(host_id="b", session_id="bs", version=8),
    ]
    assert changes(stored, reported) == UptakeChanges((session("b", 8),), ("cs",))
    assert not changes(stored[:1], reported[:1])


counts = st.integers(0, 2)
reports = st.builds(
    SessionUptake,
    host_id=st.sampled_from("abc"),
    session_id=st.sampled_from("xy"),
    version=st.integers(0, 5),
    confirmed=counts,
    received=counts,
    unknown=counts,
    behind=st.lists(st.sampled_from(["hook", "file"]), max_size=1).map(tuple),
)


@given(
    history=st.lists(reports, max_size=12),
    version=st.integers(1, 5),
    silent=st.sets(st.sampled_from("abc")),
    excluded=st.sets(st.sampled_from("abc")),
    accept=st.booleans(),
)
def test_safe_means_that_nobody_is_left(
    history: list[SessionUptake],
    version: int,
    silent: set[str],
    excluded: set[str],
    accept: bool,
) -> None:
    """Who may have the old value is counted again, from all reports, without the rules.

    A session has left it once nobody was behind; it is back if its version goes back.
    """
    stored: dict[tuple[str, str], SessionUptake] = {}
    left: dict[tuple[str, str], bool | None] = {}  # None: it cannot tell
    since: dict[tuple[str, str], int] = {}
    for report in history:
        at = report.host_id, report.session_id
        stored[at] = report.after(stored.get(at))
        if not report.behind:
            is_new = report.version >= version
            left[at] = (None if report.unknown else True) if is_new else False
            since[at] = report.version
        elif report.version < since.setdefault(at, 0):
            left[at], since[at] = False, 0
        else:
            left.setdefault(at, False)
    counted = {at: is_left for at, is_left in left.items() if at[0] not in excluded}
    found = receipt(
        version,
        stored.values(),
        notified=0,
        newest=5,
        silent_hosts=silent,
        excluded=excluded,
        accept_unknown=accept,
    )
    assert found.is_safe is all(
        left or (left is None and accept) for left in counted.values()
    )
    assert {(one.host_id, one.session_id) for one in found.behind} == {
        at for at, is_left in counted.items() if is_left is False
    }
    assert found.confirmed + found.received == list(counted.values()).count(True)
    assert found.unknown == list(counted.values()).count(None)
