"""Whether every loop still turns."""

from rensei_daemon.core.liveness import Deadlines


def test_a_loop_is_late_once_its_promise_is_broken() -> None:
    """Late means past the promise, not at it; a retired loop promises nothing."""
    pulse = Deadlines()
    pulse.promise("snapshots", 20.0)
    pulse.promise("beats", 10.0)
    assert pulse.late(10.0) == ()
    assert pulse.late(10.1) == ("beats",)
    assert pulse.late(21.0) == ("beats", "snapshots")
    pulse.promise("beats", 30.0)
    pulse.retire("snapshots")
    pulse.retire("never there")
    assert pulse.late(21.0) == ()
