"""The most telling of the soaks, each for a few seconds."""

from pathlib import Path

import pytest
from editor_race import in_place
from random_kills import live

pytestmark = pytest.mark.slow

SEED = 2908406793


async def test_what_random_kills_leave_is_as_the_model_says(tmp_path: Path) -> None:
    """Deaths amid mutations, redeliveries, edits and reloads lose and double nothing."""
    said = await live(tmp_path, seed=SEED, kills=9, forks=True)
    assert said.endswith("file, acks and journal are as the model says")


async def test_an_editor_and_the_daemon_lose_nothing_to_one_another(
    tmp_path: Path,
) -> None:
    """Forty edits in place against forty mutations are all in the file."""
    said = await in_place(tmp_path, 40, SEED, forks=True)
    assert said == "in place: 40 edits against 40 mutations, not one lost"
