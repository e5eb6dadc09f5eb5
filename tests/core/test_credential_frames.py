"""The frames of the credential socket, as bytes."""

import json
from datetime import UTC, datetime

import pytest

from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential_frames import Frame, SessionList, SessionState


def test_frames_are_spelled_as_the_public_client_reads_them() -> None:
    """One line of compact JSON each, with exactly these keys in this order."""
    at = datetime(2026, 11, 23, 16, 0, 0, 125_000, tzinfo=UTC)
    assert credential_frames.hello("build") == b'{"type":"HELLO","sessionId":"build"}\n'
    assert credential_frames.initial({"A": "1"}) == b'{"type":"INITIAL","env":{"A":"1"}}\n'
    assert credential_frames.update({"A": "1"}, at) == (
        b'{"type":"UPDATE","delta":{"A":"1"},"rotatedAt":"2026-11-23T16:00:00.125Z"}\n'
    )
    assert credential_frames.bye("why") == b'{"type":"BYE","reason":"why"}\n'


def test_the_bytes_are_ascii() -> None:
    """A reader that decodes chunk by chunk never meets half a character."""
    line = credential_frames.initial({"A": "ü\u2028🦊\n"})
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["env"] == {"A": "ü\u2028🦊\n"}


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        (b'{"type":"INITIAL","env":{"A":"1"}}', Frame("INITIAL", {"A": "1"})),
        (b'{"type":"UPDATE","delta":{"A":"1"}}', Frame("UPDATE", {"A": "1"})),
        (b'{"type":"BYE"}', Frame("BYE")),
        (b'{"type":"BYE","reason":"why"}', Frame("BYE", reason="why")),
        (b'{"type":"INITIAL","env":{"A":1}}', None),
        (b'{"type":"UPDATE"}', None),
        (b'{"type":"PING"}', None),
        (b"[]", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_worker_passes_over_what_it_cannot_read(line: bytes, frame: Frame | None) -> None:
    """A frame is read whole or not at all."""
    assert credential_frames.read_frame(line) == frame


def test_a_question_and_its_answer_are_read_back() -> None:
    """Both ends agree; a reason that comes from elsewhere is cut."""
    assert credential_frames.session_query() == b'{"type":"SESSIONS"}\n'
    assert credential_frames.is_session_query(credential_frames.session_query())
    assert not credential_frames.is_session_query(credential_frames.hello("SESSIONS"))
    answer = SessionList([SessionState("build", "x" * 501)], ["other"])
    assert credential_frames.read_session_list(
        credential_frames.session_list(answer)
    ) == SessionList([SessionState("build", "x" * 500)], ["other"])


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"BYE","reason":"why"}',
        b'{"type":"SESSIONS","sessions":[]}',
        b'{"type":"SESSIONS","refused":[]}',
        b'{"type":"SESSIONS","sessions":[],"refused":[1]}',
        b'{"type":"SESSIONS","sessions":[{"id":"a"}],"refused":[]}',
        b'{"type":"SESSIONS","sessions":[{"id":1,"missing":""}],"refused":[]}',
        b'{"type":"SESSIONS","sessions":["a"],"refused":[]}',
        b"",
    ],
)
def test_an_answer_is_read_whole_or_not_at_all(line: bytes) -> None:
    """Half a list of sessions would be taken for all of it."""
    assert credential_frames.read_session_list(line) is None


def test_a_frame_does_not_print_values() -> None:
    """The repr of a frame holds no value."""
    assert "canary" not in repr(Frame("INITIAL", {"A": "canary"}))


@pytest.mark.parametrize(
    ("line", "session"),
    [
        (b'{"type":"HELLO","sessionId":"build"}', "build"),
        (b'{"type":"HELLO","sessionId":7}', None),
        (b'{"type":"PING","sessionId":"build"}', None),
        (b"{", None),
    ],
)
def test_a_hello_names_a_session(line: bytes, session: str | None) -> None:
    """Whatever else a worker sends is none."""
    assert credential_frames.read_hello(line) == session


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (credential_frames.waiting(34.50049), 34.5),
        (b'{"type":"WAIT","seconds":86400}', 86_400),
        (b'{"type":"WAIT","seconds":86401}', None),
        (b'{"type":"WAIT","seconds":0}', None),
        (b'{"type":"WAIT","seconds":-1}', None),
        (b'{"type":"WAIT","seconds":1e999}', None),
        (b'{"type":"WAIT","seconds":NaN}', None),
        (b'{"type":"WAIT","seconds":true}', None),
        (b'{"type":"WAIT","seconds":"1"}', None),
        (b'{"type":"WAIT"}', None),
        (b'{"type":"ACK","seconds":1}', None),
        (b"WAIT", None),
    ],
)
def test_a_wait_has_a_length(line: bytes, seconds: float | None) -> None:
    """Of a day at most."""
    assert credential_frames.read_waiting(line) == seconds


def test_a_supervisor_announces_that_it_acknowledges() -> None:
    """Others say nothing, and nothing else is taken for it."""
    line = credential_frames.hello("build", acknowledges=True)
    assert line == b'{"type":"HELLO","sessionId":"build","acknowledges":true}\n'
    assert credential_frames.read_hello(line) == "build"
    assert credential_frames.announces_acknowledgements(line)
    for other in (credential_frames.hello("build"), line.replace(b"true", b"1")):
        assert not credential_frames.announces_acknowledgements(other)


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        (credential_frames.acknowledgement(2), 2),
        (b'{"type":"ACK","frame":true}', None),
        (b'{"type":"ACK","frame":"2"}', None),
        (b'{"type":"ACK"}', None),
        (b'{"type":"BYE","frame":2}', None),
    ],
)
def test_an_acknowledgement_names_a_frame(line: bytes, frame: int | None) -> None:
    """Its number on the connection."""
    assert credential_frames.read_acknowledgement(line) == frame


@pytest.mark.parametrize(
    ("line", "is_question", "about"),
    [
        (b'{"type":"SESSIONS"}', True, None),
        (b'{"type":"SESSIONS","sessionId":"build"}', True, "build"),
        (b'{"type":"SESSIONS","sessionId":7}', True, None),
        (b'{"type":"HELLO","sessionId":"build"}', False, "build"),
        (b"[]", False, None),
    ],
)
def test_a_question_is_about_one_session_or_all(
    line: bytes, is_question: bool, about: str | None
) -> None:
    """A command asks over the socket that workers use."""
    assert credential_frames.is_session_query(line) is is_question
    assert credential_frames.read_session_query(line) == about
