"""A mutation that waits is announced: the host need not wait for its next heartbeat."""

from typing import TYPE_CHECKING

import anyio
from deadlines import HANG_SECONDS

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

HOURLY_MS = 3_600_000
SESSION = """\
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
"""


def is_applied(home: "Home", mutation: object) -> bool:
    """Whether the platform knows that a mutation was applied."""
    return home.mutation(mutation).status == "applied"  # type: ignore[arg-type]


def is_live(daemon: "Running") -> bool:
    """Whether the session's stream is live."""
    return any(session.stream == "live" for session in daemon.board.sessions.values())


def own_streams(home: "Home") -> list[str]:
    """Return the host of each stream that is no session's."""
    return [s.host_id or "" for s in home.platform.all_streams if not s.session_id]


def naming_streams(home: "Home") -> list[str]:
    """Return the sessions whose stream names the worker."""
    return [s.session_id for s in home.platform.streams if s.host_id]


async def test_a_host_without_sessions_hears_of_a_mutation(home: "Home") -> None:
    """It is applied and acked within an interval of an hour."""
    home.platform.configure(heartbeat_interval_ms=HOURLY_MS)
    async with home.daemon(hears_of_mutations=True) as daemon:
        await daemon.until(lambda: own_streams(home))
        mutation = home.enqueue("project.add", id="p1", repository="github.com/a/b")
        await daemon.until(lambda: is_applied(home, mutation))


async def test_a_session_brings_it(home: "Home") -> None:
    """A stream that a session opens after the offer does, and ends the host's own."""
    home.platform.configure(heartbeat_interval_ms=HOURLY_MS)
    home.platform.set_credential("github", "TOKEN", "one")
    home.write(SESSION)
    async with home.daemon(hears_of_mutations=True) as daemon:
        await daemon.until(lambda: daemon.mutation_events.worker_id)
        await daemon.until(lambda: is_live(daemon))
        home.platform.drop_streams()
        await daemon.until(lambda: naming_streams(home) and not own_streams(home))
        mutation = home.enqueue("project.add", id="p1", repository="github.com/a/b")
        await daemon.until(lambda: is_applied(home, mutation))


async def test_what_was_enqueued_while_no_stream_was_open_comes_with_the_next(
    home: "Home",
) -> None:
    """The opened stream announces it."""
    home.platform.configure(heartbeat_interval_ms=HOURLY_MS)
    async with home.daemon(hears_of_mutations=True) as daemon:
        await daemon.until(lambda: own_streams(home))
        hold = home.platform.faults.hold("GET", "/api/daemon/credentials/rotate-stream")
        home.platform.drop_streams()
        await hold.until_ready()
        mutation = home.enqueue("project.add", id="p1", repository="github.com/a/b")
        hold.release()
        home.platform.drop_streams()
        await daemon.until(lambda: is_applied(home, mutation))


async def test_a_platform_without_the_event_is_asked_for_none(home: "Home") -> None:
    """Neither the host's own stream is opened, nor does a session name the worker."""
    home.platform.set_credential("github", "TOKEN", "one")
    home.write(SESSION)
    beat = {"acknowledged": True, "extensions": ["uptake"]}
    fault = home.platform.faults.add(
        "POST", "/api/workers/wkr_", status=200, body=beat, times=1_000_000
    )
    async with home.daemon(hears_of_mutations=True) as daemon:
        await daemon.until(lambda: is_live(daemon))
        await daemon.until(lambda: len(fault.served) > 1)
        home.platform.drop_streams()
        await daemon.until(lambda: dict(daemon.counters.streams))
        await daemon.until(lambda: is_live(daemon))
        assert [s.host_id for s in home.platform.all_streams] == [None]


async def test_a_failed_heartbeat_ends_the_offer(home: "Home") -> None:
    """The next stream names no worker, until an answer offers it again."""
    async with home.daemon(hears_of_mutations=True) as daemon:
        await daemon.until(lambda: daemon.mutation_events.worker_id)
        home.platform.faults.add("POST", "/api/workers/wkr_", times=1_000_000)
        with anyio.fail_after(HANG_SECONDS):
            while daemon.mutation_events.worker_id is not None:
                await daemon.changed.wait()
        home.platform.faults.clear()
        await daemon.until(lambda: daemon.mutation_events.worker_id)


async def test_a_refused_stream_is_tried_again(home: "Home") -> None:
    """So the host hears again when the platform is back."""
    home.platform.configure(heartbeat_interval_ms=HOURLY_MS)
    home.platform.faults.add("GET", "/api/daemon/credentials/rotate-stream", times=2)
    async with home.daemon(hears_of_mutations=True) as daemon:
        await daemon.until(lambda: own_streams(home))
