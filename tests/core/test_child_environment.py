"""What a worker process inherits, and what it is given."""

import pytest

from rensei_daemon.core.child_environment import child_environment, inherited


@pytest.mark.parametrize(
    "name",
    [
        "RENSEI_API_KEY",
        "RENSEI_RSK_TOKEN",
        "RENSEI_API_TOKEN",
        "DONMAI_RSK_TOKEN",
        "RENSEI_DAEMON_CONFIG",
        "RENSEI_DAEMON_JWT",
        "DONMAI_DAEMON_TOKEN",
        "WORKOS_API_KEY",
        "RENSEI_CREDENTIAL_SOCKET",
        "DONMAI_CREDENTIAL_CAPABILITY",
    ],
)
def test_our_secrets_are_not_inherited(name: str) -> None:
    """Neither ours nor the platform's; everything else is."""
    assert inherited({name: "x", "PATH": "/bin", "LD_PRELOAD": "y"}) == {
        "PATH": "/bin",
        "LD_PRELOAD": "y",
    }


def test_values_that_cannot_be_had_are_told_from_none_at_all() -> None:
    """A session may be empty; a snapshot that failed is another thing."""
    empty = child_environment({}, {}, socket="/s", session_id="b")
    failed = child_environment({}, None, socket="/s", session_id=None)
    assert "RENSEI_CREDENTIAL_SNAPSHOT_FAILED" not in empty
    assert failed == {
        "RENSEI_CREDENTIAL_SOCKET": "/s",
        "DONMAI_CREDENTIAL_SOCKET": "/s",
        "RENSEI_CREDENTIAL_SNAPSHOT_FAILED": "1",
        "DONMAI_CREDENTIAL_SNAPSHOT_FAILED": "1",
    }
