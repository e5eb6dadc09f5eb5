"""Following a mutation at platforms that show more or less of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from rensei_daemon.cli import follow_mutations
from rensei_daemon.cli.follow_mutations import Asked, Followers, Outcome, judge
from rensei_daemon.core.history import MutationRecord
from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api.operator_client import (
    OperatorClient,
    RemoteHost,
    RemoteMutation,
)

PENDING = RemoteMutation(
    id="dmut_1",
    op="project.remove",
    params={},
    status="pending",
    worker_host_id="host_1",
    org_id="org_1",
    requested_by="ann",
    created_at="2026-09-01T00:00:00.000Z",
    delivered_at="",
    cancelled_at="",
)
DELIVERED = replace(PENDING, delivered_at="2026-09-01T00:00:01.000Z")
ASKED = Asked(host=RemoteHost(id="host_1", name="build-1"), mutation=PENDING)
OTHER = replace(PENDING, id="dmut_2")


class FakePlatform:
    """Answers with these lists, one after the other; None is a platform out of reach."""

    def __init__(self, *answers: Sequence[RemoteMutation] | None) -> None:
        self._answers = list(answers)
        self.limits: list[int] = []

    async def list_mutations(self, _: str, *, limit: int) -> Sequence[RemoteMutation]:
        self.limits.append(limit)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise TransientError("out of reach")
        return answer


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again without a pause."""
    monkeypatch.setattr(follow_mutations, "POLL_SECONDS", 0.0)


async def follow(platform: FakePlatform, seconds: float = 30.0, **record: Any) -> Asked:
    """Follow one mutation to its end."""

    def read_record(_: str) -> MutationRecord | None:
        return cast("MutationRecord", record) if record else None

    followers = Followers(cast("OperatorClient", platform), read_record)
    [state] = await followers.follow([ASKED], seconds=seconds, show=lambda _: None)
    return state


@pytest.mark.parametrize(
    ("found", "seconds", "outcome"),
    [
        (PENDING, 0, Outcome.PENDING),
        (DELIVERED, 34, Outcome.DELIVERED),
        (DELIVERED, 36, Outcome.UNKNOWN),
        (replace(DELIVERED, shows_outcome=True), 1e6, Outcome.DELIVERED),
        (replace(PENDING, status="delivered"), 36, Outcome.UNKNOWN),
        (replace(DELIVERED, status="applied"), 0, Outcome.APPLIED),
        (replace(DELIVERED, status="failed"), 0, Outcome.FAILED),
        (replace(PENDING, cancelled_at="x"), 0, Outcome.CANCELLED),
        (replace(PENDING, status="cancelled"), 0, Outcome.CANCELLED),
        (replace(PENDING, status="a later word"), 0, Outcome.PENDING),
    ],
)
def test_what_a_record_says(
    found: RemoteMutation, seconds: float, outcome: Outcome
) -> None:
    """A host has longer than an interval of heartbeats before its outcome is unknown."""
    asked = replace(ASKED, mutation=found, delivered_since=100.0)
    assert judge(asked, 100.0 + seconds).outcome is outcome


async def test_a_platform_out_of_reach_is_asked_again() -> None:
    """For as long as there is time."""
    platform = FakePlatform(None, [PENDING], None, [replace(DELIVERED, status="applied")])
    assert (await follow(platform)).outcome is Outcome.APPLIED
    with pytest.raises(TransientError):
        await follow(FakePlatform(None), seconds=0.0)


async def test_an_older_one_is_looked_for_in_a_longer_list() -> None:
    """Only if the short one is full; one that has left the list is as it was."""
    applied = replace(DELIVERED, status="applied")
    platform = FakePlatform([OTHER] * 100, [OTHER, applied])
    assert (await follow(platform)).outcome is Outcome.APPLIED
    assert platform.limits == [100, 500]
    gone = FakePlatform([OTHER])
    assert (await follow(gone, seconds=0.0)).outcome is Outcome.PENDING
    assert set(gone.limits) == {100}


@pytest.mark.parametrize(
    ("record", "outcome"), [("applied", Outcome.APPLIED), ("failed", Outcome.FAILED)]
)
async def test_the_daemon_here_says_what_the_platform_does_not(
    record: str, outcome: Outcome
) -> None:
    """If the mutation was this host's."""
    state = await follow(FakePlatform([DELIVERED]), outcome=record, error="why")
    assert (state.outcome, state.error) == (outcome, "why")
