"""Whether every loop still turns."""

from rensei_daemon.core.liveness import Deadlines


def test_a_loop_is_late_once_its_promise_is_broken() -> None:
    """Late means after the deadline, not at it; a removed loop has none."""
    deadlines = Deadlines()
    deadlines.set("snapshots", 20.0)
    deadlines.set("beats", 10.0)
    assert deadlines.overdue(10.0) == ()
    assert deadlines.overdue(10.1) == ("beats",)
    assert deadlines.overdue(21.0) == ("beats", "snapshots")
    deadlines.set("beats", 30.0)
    deadlines.remove("snapshots")
    deadlines.remove("never there")
    assert deadlines.overdue(21.0) == ()
