"""What differs between asked, acked and reported, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rensei_platform.rules.drift import ProjectState, project_states, requests_of
from rensei_platform.rules.mutations import Mutation

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
INTERVAL = timedelta(seconds=30)
LISTED = [{"id": "p", "repository": "r"}]


def mutation(op: str, status: str = "applied", id_: Any = "p") -> Mutation:
    """Return a mutation that was decided at noon, if it was."""
    is_decided = status in ("applied", "failed")
    return Mutation(
        seq=1,
        id="dmut_1",
        org_id="o",
        host_id="h",
        op=op,
        params={"id": id_},
        status=status,
        requested_by="ada",
        created_at=NOON,
        decided_at=NOON if is_decided else None,
    )


def states(
    *history: Mutation, mirror: dict[str, Any] | None = None, seconds: float = 54
) -> tuple[ProjectState, ...]:
    """Compare at a beat that many seconds after noon; two beats take at least 54.

    `history` is newest first.
    """
    return project_states(
        requests_of(
            replace(one, seq=seq) for seq, one in enumerate(reversed(history), start=1)
        ),
        {"allowlist": LISTED, "enabled_project_ids": []} if mirror is None else mirror,
        reported_at=NOON,
        seen_at=NOON + timedelta(seconds=seconds),
        interval=INTERVAL,
    )


@pytest.mark.parametrize(
    ("history", "mirror", "expected"),
    [
        (["project.enable"], ([], ["p"]), ("enabled", "enabled", "enabled", False)),
        (["project.enable"], (LISTED, []), ("enabled", "enabled", "disabled", True)),
        (["project.remove"], (LISTED, []), ("absent", "absent", "disabled", True)),
        (["project.remove"], ([], []), ("absent", "absent", "absent", False)),
        (["project.disable"], ([], []), ("disabled", "disabled", "absent", False)),
        (["project.disable"], (LISTED, ["p"]), ("disabled", "disabled", "enabled", True)),
        (["project.add"], (None, None), ("enabled", "enabled", None, True)),
        (
            ["project.remove", "project.add"],
            ([], []),
            ("absent", "absent", "absent", False),
        ),
        ([], (LISTED, ["p"]), (None, None, "enabled", False)),
    ],
)
def test_three_views_of_a_project(
    history: list[str],
    mirror: tuple[Any, Any],
    expected: tuple[str | None, str | None, str | None, bool],
) -> None:
    """The newest mutation counts; what nobody asked for is no drift."""
    columns = dict(zip(("allowlist", "enabled_project_ids"), mirror, strict=True))
    (found,) = states(*map(mutation, history), mirror=columns)
    assert (found.asked, found.acked, found.reported, found.is_drift) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, False), (33, False), (54, True)])
def test_a_difference_is_drift_after_two_beats(seconds: float, expected: bool) -> None:
    """At the first beat after it, or the same one, the report may still be on its way."""
    (found,) = states(mutation("project.enable"), seconds=seconds)
    assert found.is_drift is expected


def test_what_waits_is_asked_and_not_acked() -> None:
    """An earlier outcome stands beside it; failed and cancelled ones count nowhere."""
    (found,) = states(
        mutation("project.remove", "failed"),
        mutation("project.remove", "cancelled"),
        mutation("project.enable", "delivered"),
        mutation("project.disable"),
        mutation("pool.deleted"),
        mutation("project.add", id_=7),
    )
    assert found == ProjectState(
        id="p", asked="enabled", acked="disabled", reported="disabled", is_drift=True
    )


def test_a_host_that_was_never_seen_has_no_drift() -> None:
    """Nothing has lasted for two of its beats."""
    found = project_states(
        requests_of([mutation("project.add")]),
        {},
        reported_at=None,
        seen_at=None,
        interval=INTERVAL,
    )
    assert [one.is_drift for one in found] == [False]
