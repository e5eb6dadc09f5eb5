"""Hundreds of clients at each listener, most of them ill-behaved, and nobody else minds."""

import pytest
from deadlines import HANG_SECONDS
from rig.crowded_listeners import crowded_listeners

HELD_UP_SECONDS = 0.5
"""Of processor time; tests/soak/thousand_clients.py is stricter."""


@pytest.mark.slow
async def test_a_crowd_holds_up_no_loop_and_locks_nobody_out() -> None:
    """Who asks is answered, and the loop has its turns."""
    async with crowded_listeners(200) as listeners:
        for _ in range(3):
            await listeners.answer(HANG_SECONDS)
    assert len(listeners.ticker.late) > 3
    assert max(listeners.ticker.late) < HELD_UP_SECONDS
