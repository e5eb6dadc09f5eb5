"""`make fleet`, so small that it takes a few seconds."""

from argparse import Namespace

import pytest
from run_fleet import main

pytestmark = pytest.mark.slow


async def test_a_tiny_fleet_starts_and_hears_of_a_rotation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every host gets well and holds the newest value, and no outcome is lost."""
    chosen = ["cold start of all", "a rotation to all"]
    asked = Namespace(
        hosts=6, interval=0.2, outage=1.0, database=["sqlite"], only=chosen, plots=None
    )
    passed = await main(asked)
    said = capsys.readouterr().out
    assert passed, said
    assert [line for line in said.splitlines() if line.endswith("  ok")], said
