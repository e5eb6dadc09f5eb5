"""A daemon that runs but does not answer: what the kernel knows of it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rensei_daemon.cli.status_sessions import format_age
from rensei_daemon.core.duration import format_duration
from rensei_daemon.disk.processes import ProcessFacts, facts_of, lock_holder, service_of
from rensei_daemon.errors import DaemonSilentError
from rensei_daemon.locations import Locations


def inspect_lock_holder(locations: Locations) -> ProcessFacts | None:
    """Return what is known of the process that holds the daemon's state."""
    pid = lock_holder(locations.lock)
    return facts_of(pid) if pid else None


def with_process_facts(
    error: DaemonSilentError, facts: ProcessFacts, last: Mapping[str, Any] | None
) -> DaemonSilentError:
    """Return the error, with what blocks the daemon, since when, and what to do."""
    what, hint = explain(facts)
    text = f"{error}: pid {facts.pid} {what}"
    if facts.started_at is not None:
        age = format_duration(max(time.time() - facts.started_at, 0))
        text += f"; it was started {age} ago"
    if last and last.get("reported_at"):
        saved_ago = format_duration(
            max(format_age(last["reported_at"], datetime.now(UTC)), 0)
        )
        text += f", and last saved its state {saved_ago} ago"
    return DaemonSilentError(text, hint=hint)


def explain(facts: ProcessFacts) -> tuple[str, str]:
    """Return what a process is doing, and what to do about it."""
    pid, where = facts.pid, f" ({facts.waits_in})" if facts.waits_in else ""
    if facts.is_frozen:
        service = service_of(pid)
        thaw = f"{service.systemctl} thaw {service.unit}" if service else "unpause it there"
        return "is frozen with its control group", f"resume it: {thaw}"
    match facts.state:
        case "T":
            return "is stopped by a signal", f"resume it: kill -CONT {pid}"
        case "t":
            return f"is held by a debugger (pid {facts.tracer})", "detach the debugger"
        case "D":
            fix = f"see the disks: dmesg | tail; cat /proc/{pid}/mountinfo"
            return f"waits for a disk, where no signal reaches it{where}", fix
        case "Z" | "X":
            return (
                "has exited, and its parent has not reaped it",
                "end the process that began it",
            )
        case "R":
            fix = f"see what it does: top -H -p {pid}; rensei-daemon logs -n 50"
            return "is computing, or waits for a processor", fix
        case _:
            fix = "see what holds it: rensei-daemon logs -n 50"
            return f"sleeps{where}", fix


def to_json(facts: ProcessFacts | None) -> Mapping[str, Any] | None:
    """Return it as JSON."""
    from dataclasses import asdict  # `status` has no other need of it, and it is slow

    return asdict(facts) if facts else None
