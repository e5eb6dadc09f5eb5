"""Kill the daemon at every durable system call of a batch, one after the other.

For each sort of call, each thread of the daemon, and each N until a run gets through
alive: a fresh host, a batch, SIGKILL at the entry of that thread's Nth call, a restart,
and the model's verdict. strace counts each thread's calls apart; to try them all, threads
are tried one by one, and the daemon has a single worker for its blocking calls.
Run it alone: `.venv-dev/bin/python tests/soak/kill_at_every_call.py`.
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

# A soak is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[1] / "support"))
from forked import ended
from rig.ending import leaving_nothing
from rig.host import DiedError, Host, open_host
from rig.model import Model
from rig.verdict import BrokenPromiseError, check, check_no_leftovers

from rensei_platform.rules.mutations import Mutation

CALLS = (
    "renameat2", "rename", "fsync", "fdatasync", "unlink", "ftruncate",
    "pwrite64", "sendto", "write",
)  # fmt: skip
MOST = 400
BODY = """\
[projects]
# the first
proj_a = { repositories = [] } # a's own
# b's own
proj_b = { repositories = ["https://git.example/b"] }
"""
POLICY = {"matrix": {"anthropic": {"byok": {"allowed": True}}}}


async def main() -> None:
    """Try every call; print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--call", action="append", choices=CALLS, help="only this one")
    parser.add_argument("--seconds", type=float, default=240.0, help="at most, in all")
    arguments = parser.parse_args()
    if (reason := why_not()) is not None:
        print(f"skipped: {reason}")
        return
    # The tracer may learn of the daemon's death before we do, and asyncio wonders.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    deadline = time.monotonic() + arguments.seconds
    for call in arguments.call or CALLS:
        deaths, is_done = await every(call, deadline)
        how = "all of them" if is_done else "out of time"
        print(f"{call:<10} killed {deaths:>3} times, {how}: nothing lost, nothing twice")


def why_not() -> str | None:
    """Return why no process can be traced here, or None."""
    if shutil.which("strace") is None:
        return "there is no strace"
    done = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False
    )
    return None if done.returncode == 0 else "ptrace is not permitted here"


async def every(call: str, deadline: float) -> tuple[int, bool]:
    """Kill at each N of each thread; return how often it died, and whether time did."""
    deaths = 0
    for thread in range(MOST):
        for count in range(1, MOST):
            if time.monotonic() > deadline:
                return deaths, False
            died = await once(call, thread, count)
            if died is None:
                return deaths, True
            if not died:
                break
            deaths += 1
    return deaths, True


async def once(call: str, thread: int, count: int) -> bool | None:
    """Run a batch with a death at the Nth call; return whether it came to that.

    None if the daemon has fewer threads.
    """
    with tempfile.TemporaryDirectory() as directory:
        async with open_host(Path(directory), beat_ms=150, body=BODY) as host:
            try:
                return await _batch(host, call, thread, count)
            except* (BrokenPromiseError, DiedError, TimeoutError):
                print(f"RED: thread {thread} at its {count}th {call}")
                raise


async def _batch(host: Host, call: str, thread: int, count: int) -> bool | None:
    model = Model()
    model.tree["projects"] = {
        "proj_a": {"repositories": []},
        "proj_b": {"repositories": ["https://git.example/b"]},
    }
    pid = await host.start("rig.one_worker")
    await host.until(lambda status: bool(status["heartbeat"]["last_ok_at"]))
    if (tid := _thread(pid, thread)) is None:
        return None
    async with _traced(tid, call, count):
        mutations = [
            host.enqueue("project.remove", id="proj_a"),
            host.enqueue("project.add", id="proj_c", repository="https://git.example/c"),
            host.enqueue("project.add", id="x"),
            host.enqueue("modelAccess.set", workload="qa", policy=POLICY),
        ]
        for mutation in mutations:
            model.apply(mutation)
        died = False
        async with anyio.create_task_group() as either:

            async def until_death() -> None:
                nonlocal died
                assert host.process is not None
                await ended(host.process)
                died = True
                either.cancel_scope.cancel()

            either.start_soon(until_death)
            await _acknowledged(host, mutations)
            either.cancel_scope.cancel()
    if died:
        await host.end()
        await host.start()
        await _acknowledged(host, mutations)
    check(host, model)
    check_no_leftovers(host)
    return died


async def _acknowledged(host: Host, mutations: list[Mutation]) -> None:
    """Wait until the platform has each outcome, and the daemon has its answer."""
    await host.settled(mutations)
    await host.until(lambda status: not status["mutations"]["unacknowledged"])


def _thread(pid: int, index: int) -> int | None:
    tids = sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    return tids[index] if index < len(tids) else None


@asynccontextmanager
async def _traced(tid: int, call: str, count: int) -> AsyncIterator[None]:
    """Have the process killed at this thread's Nth call from now on."""
    inject = f"inject={call}:signal=KILL:when={count}"
    words = ["strace", "-p", str(tid), "-e", f"trace={call}", "-e", inject]
    async with await anyio.open_process(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as tracer:
        assert tracer.stderr is not None
        with anyio.fail_after(10):
            while b"attached" not in await tracer.stderr.receive():
                pass
        async with anyio.create_task_group() as draining:
            draining.start_soon(_drain, tracer.stderr)
            try:
                yield
            finally:
                if tracer.returncode is None:
                    tracer.terminate()
                await tracer.wait()


async def _drain(stream: anyio.abc.ByteReceiveStream) -> None:
    try:
        async for _ in stream:
            pass
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
