"""The trial of tests/soak/killed_replicas.py, once and short."""

import pytest
from killed_replicas import main

pytestmark = pytest.mark.slow


@pytest.mark.needs("postgresql")
async def test_one_of_two_servers_is_killed() -> None:
    """Nothing is lost or doubled, and every session gets the newest value."""
    await main(trials=1, requests=60)
