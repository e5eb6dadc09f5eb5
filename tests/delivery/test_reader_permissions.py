"""Who may have which session's values, with processes of other users."""

from typing import TYPE_CHECKING

import pytest
from privileges import as_nobody
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from delivery.conftest import Lab, Reader

DAEMON, NOBODY, TEAM, DOOR = 0, 65534, 54321, 54322
HELLO = b'{"type":"HELLO","sessionId":"build"}\n'
INITIAL = {"type": "INITIAL", "env": {"A": "1"}}
REFUSED = {"type": "BYE", "reason": "not permitted"}


def _connect_as(lab: "Lab", uid: int, groups: list[int], said: bytes = HELLO) -> "Reader":
    """Connect as another user: the kernel uses the credentials of that moment."""
    with as_nobody(*groups, uid=uid):
        return lab.connect(said)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("uid", "groups", "seen"),
    [
        (DAEMON, [], INITIAL),
        (NOBODY, [DOOR, TEAM], INITIAL),
        (NOBODY, [DOOR, *range(60000, 60300), TEAM], REFUSED),
        (NOBODY, [DOOR], REFUSED),
    ],
)
async def test_the_kernel_says_who_asks(
    lab: "Lab", uid: int, groups: list[int], seen: object
) -> None:
    """Of those the file admits, the session's members get its values.

    With more groups than the kernel returns at once, the user's own database entry
    counts: many groups give nobody access.
    """
    async with lab.listening(gid=DOOR) as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", TEAM)).publish(A="1")
        assert await _connect_as(lab, uid, groups).frame() == seen


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("groups", "own", "refused"),
    [([DOOR, TEAM], ["build"], ["test"]), ([DOOR], [], ["build", "test"])],
)
async def test_a_process_is_told_its_own_sessions(
    lab: "Lab", groups: list[int], own: list[str], refused: list[str]
) -> None:
    """Those of its groups, with what is missing of them; of the others the id alone."""
    async with lab.listening(gid=DOOR) as credential_socket:
        credential_socket.subscribers("build", TEAM)
        credential_socket.subscribers("test", TEAM + 2)
        reader = _connect_as(lab, NOBODY, groups, b'{"type":"SESSIONS"}\n')
        assert await reader.frame() == {
            "type": "SESSIONS",
            "sessions": [{"id": name, "missing": "no credentials"} for name in own],
            "refused": refused,
        }
        assert await reader.frame() is None


@pytest.mark.needs("root")
async def test_a_session_without_a_group_is_for_whoever_may_connect(lab: "Lab") -> None:
    """The file is the only gate then, and who is not in its group stays outside."""
    async with lab.listening(gid=DOOR) as credential_socket:
        await lab.publishing(credential_socket.subscribers("build", None)).publish(A="1")
        assert await _connect_as(lab, NOBODY, [DOOR]).frame() == INITIAL
        with pytest.raises(PermissionError):
            _connect_as(lab, NOBODY, [TEAM])


@pytest.mark.needs("root")
async def test_a_reader_who_insists_fills_no_log(lab: "Lab") -> None:
    """A unit that restarts may try all night; another user who tries is news."""
    with capture_logs() as events:
        async with lab.listening(gid=DOOR) as credential_socket:
            await lab.publishing(credential_socket.subscribers("build", TEAM)).publish(
                A="1"
            )
            for uid in (*[NOBODY] * 11, NOBODY - 1):
                assert await _connect_as(lab, uid, [DOOR]).frame() == REFUSED
    refused = [event for event in events if event["event"] == "reader.refused"]
    told = [event for event in refused if event["log_level"] == "warning"]
    assert [(event["count"], event["uid"]) for event in told] == [
        (1, NOBODY),
        (10, NOBODY),
        (12, NOBODY - 1),
    ]
