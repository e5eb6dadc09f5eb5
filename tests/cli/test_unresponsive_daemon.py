"""What `status` says of a daemon that does not answer, by what the kernel says."""

from datetime import UTC, datetime, timedelta

import pytest

from rensei_daemon.cli.unresponsive_daemon import explain, with_process_facts
from rensei_daemon.disk.processes import ProcessFacts
from rensei_daemon.errors import DaemonSilentError


def facts(state: str, *, frozen: bool = False, waits_in: str | None = None) -> ProcessFacts:
    """A process in this state."""
    return ProcessFacts(
        pid=2**22 + 1,
        state=state,
        waits_in=waits_in,
        tracer=7,
        is_frozen=frozen,
        started_at=None,
    )


@pytest.mark.parametrize(
    ("found", "what", "hint"),
    [
        (facts("T"), "is stopped by a signal", "resume it: kill -CONT 4194305"),
        (facts("t"), "is held by a debugger (pid 7)", "detach the debugger"),
        (
            facts("D", waits_in="nfs_wait"),
            "waits for a disk, where no signal reaches it (nfs_wait)",
            "see the disks: dmesg | tail; cat /proc/4194305/mountinfo",
        ),
        (
            facts("R"),
            "is computing, or waits for a processor",
            "see what it does: top -H -p 4194305; rensei-daemon logs -n 50",
        ),
        (
            facts("S", waits_in="do_epoll_wait"),
            "sleeps (do_epoll_wait)",
            "see what holds it: rensei-daemon logs -n 50",
        ),
        (
            facts("Z"),
            "has exited, and its parent has not reaped it",
            "end the process that began it",
        ),
        (
            facts("S", frozen=True),
            "is frozen with its control group",
            "resume it: unpause it there",
        ),
    ],
)
def test_each_state_has_its_remedy(found: ProcessFacts, what: str, hint: str) -> None:
    """What the process is doing, and the command that helps it on."""
    assert explain(found) == (what, hint)


def test_since_when_is_told_by_what_it_last_wrote() -> None:
    """The kernel does not say when a process was stopped; its own record nearly does."""
    then = datetime.now(UTC) - timedelta(minutes=3, seconds=1)
    last = {"reported_at": then.isoformat()}
    error = with_process_facts(DaemonSilentError("it is silent"), facts("T"), last)
    assert str(error) == (
        "it is silent: pid 4194305 is stopped by a signal, "
        "and last saved its state 3 min ago"
    )
