"""What a session has, without its values."""

from datetime import UTC, datetime, timedelta

from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.core.scrub import Fingerprints
from rensei_daemon.core.session_report import (
    ConsumerReport,
    VariableReport,
    report_session,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHOWN = "2026-01-01T00:00:02.000Z"
"""With a wall clock that is two seconds ahead."""


def test_a_report_names_variables_and_how_far_consumers_are_behind() -> None:
    """Values are shown as fingerprints only; a consumer without values has no lag."""
    fingerprints = Fingerprints(b"key")
    report = report_session(
        "build",
        Credentials(3, {"B": "two", "A": "one"}),
        changed_at={"A": NOW, "B": NOW},
        refreshed_at=NOW,
        error=None,
        consumers=(
            ConsumerHealth(kind="socket", name="worker", generation=1),
            ConsumerHealth(kind="env_file", name="build.env"),
        ),
        fingerprints=fingerprints,
        clock_ahead=timedelta(seconds=2),
    )
    assert (report["generation"], report["refreshed_at"]) == (3, SHOWN)
    assert report["variables"] == [
        VariableReport(name="A", fingerprint=fingerprints.of("one"), changed_at=SHOWN),
        VariableReport(name="B", fingerprint=fingerprints.of("two"), changed_at=SHOWN),
    ]
    assert report["consumers"] == [
        ConsumerReport(kind="socket", name="worker", generation=1, lag=2),
        ConsumerReport(kind="env_file", name="build.env", generation=None, lag=None),
    ]
