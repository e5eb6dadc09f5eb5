"""Every answer of the wire, wrong in every way that a seed can think of, for an hour.

A round is a daemon of its own against a platform that answers by one seed. All the while
`status` must be answered within 250 ms; the daemon lives, with its memory, its descriptors
and its state in bounds; its file can be read and keeps its comments; no log and no state
holds a secret; and once the platform has come to its senses, every mutation that it handed
out rightly has exactly one outcome. The seed of a round that fails is kept in `seeds/`, and
those are tried first from then on.

    make fuzz                      # FUZZ_SECONDS=3600
    SEED=12 make fuzz              # one round of this seed
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
from wire_fuzz.platform import FuzzPlatform
from wire_fuzz.target import BrokenPromiseError, Target

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
ROUND_SECONDS = 30.0
CALM_SECONDS = 100.0
"""A worker that is gone registers again once a minute at most."""
MOST_STALL_SECONDS = 0.25
ONE_IN_OLD = 8
"""So many rounds have one with a platform that knows the older endpoints alone."""


@dataclass
class Figures:
    """What was seen."""

    counts: Counter[str] = field(default_factory=Counter)
    stalls: list[float] = field(default_factory=list)
    """How long each answer to `status` took, less what the machine was late."""
    worst: tuple[float, str] = (0.0, "")
    slowest_seconds: float = 0.0
    """The longest that one answer took, whoever was to blame."""
    machine_seconds: float = 0.0
    """The most that the machine was late within one."""
    load: float = 0.0
    resident_mib: float = 0.0
    state_mib: float = 0.0
    descriptors: int = 0

    def add(self, other: "Figures") -> None:
        """Take in another round's."""
        self.counts += other.counts
        self.stalls += other.stalls
        self.worst = max(self.worst, other.worst)
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.machine_seconds = max(self.machine_seconds, other.machine_seconds)
        self.load = max(self.load, other.load)
        self.resident_mib = max(self.resident_mib, other.resident_mib)
        self.state_mib = max(self.state_mib, other.state_mib)
        self.descriptors = max(self.descriptors, other.descriptors)

    def __str__(self) -> str:
        """Return it in one line."""
        stalls = sorted(self.stalls) or [0.0]
        p99, (worst, where) = stalls[int(len(stalls) * 0.99)], self.worst
        return (
            f"{self.counts.total()} answers and events, {len(stalls)} looks at status: "
            f"p99 {p99 * 1e3:.1f} ms, worst {worst * 1e3:.0f} ms ({where}), slowest "
            f"{self.slowest_seconds * 1e3:.0f} ms with a machine late by up to "
            f"{self.machine_seconds * 1e3:.0f} ms, load {self.load:.1f}; "
            f"{self.resident_mib:.0f} MiB of memory, {self.state_mib:.1f} MiB of state, "
            f"{self.descriptors} descriptors"
        )


async def fuzz_round(place: Path, seed: int, seconds: float) -> Figures:
    """Go through one round; raises `BrokenPromiseError`."""
    platform = FuzzPlatform(seed, is_old=seed % ONE_IN_OLD == 0)
    async with anyio.create_task_group() as tasks:
        await platform.serve(tasks)
        target = Target(place, platform.port)
        with target.running():
            await _until_listening(target)
            with _probed(target, place / "looks"):
                await _storm(platform, target, seconds)
                await _calm_down(platform, target)
            resident_mib = target.most_resident_mib
        tasks.cancel_scope.cancel()
    target.check_config()
    target.check_files()
    target.check_journal()
    counters = Figures(
        platform.counts,
        resident_mib=resident_mib,
        state_mib=target.most_state_bytes / 2**20,
        descriptors=target.most_descriptors,
        load=os.getloadavg()[0],
    )
    _judge_looks(place / "looks", platform, counters)
    return counters


async def _until_listening(target: Target) -> None:
    with anyio.fail_after(60):
        while await anyio.to_thread.run_sync(target.ask) is None:
            if target.process.poll() is not None:
                target.check()
            await anyio.sleep(0.05)


@contextmanager
def _probed(target: Target, looks: Path) -> Iterator[None]:
    """Look at the daemon all the while; what was seen is in the file then."""
    command = (sys.executable, "-m", "wire_fuzz.status_probe")
    with looks.open("wb") as out:
        arguments = (str(target.socket), str(target.process.pid))
        probe = subprocess.Popen([*command, *arguments], stdout=out, cwd=HERE)
    try:
        yield
        if probe.poll() is not None:
            raise BrokenPromiseError("the probe ended before the round")
    finally:
        probe.terminate()
        probe.wait()


async def _storm(platform: FuzzPlatform, target: Target, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        while True:
            await anyio.to_thread.run_sync(target.check)
            before = platform.counts.total()
            await anyio.sleep(0.5)
            if platform.counts["heartbeat"] % 3 == 0 or platform.counts.total() == before:
                await anyio.to_thread.run_sync(target.wake_heartbeat)


async def _calm_down(platform: FuzzPlatform, target: Target) -> None:
    """Answer as one should, until every mutation has its outcome: one, and only one."""
    platform.is_calm = True
    await _until_all_told(platform, target)
    if platform.doubled:
        raise BrokenPromiseError(f"twice in one beat: {sorted(platform.doubled)[:5]}")
    for id_, outcomes in platform.outcomes.items():
        if len(outcomes) > 1:
            raise BrokenPromiseError(f"{id_!r} has more than one outcome: {outcomes}")


async def _until_all_told(platform: FuzzPlatform, target: Target) -> None:
    open_ = platform.owed
    with anyio.move_on_after(CALM_SECONDS):
        while True:
            await anyio.to_thread.run_sync(target.check)
            open_ = set() if platform.is_old else platform.owed - platform.outcomes.keys()
            if platform.calm_beats > 5 and not open_:
                break
            await anyio.to_thread.run_sync(target.wake_heartbeat)
            await anyio.sleep(0.2)
    status = await anyio.to_thread.run_sync(target.ask)
    if not platform.calm_beats:
        raise BrokenPromiseError(f"it does not beat any more: {status}")
    if open_:
        told = (
            f"{len(open_)} of {len(platform.owed)} without an outcome, {sorted(open_)[:5]}"
        )
        raise BrokenPromiseError(f"{told}: {status}")


def _judge_looks(looks: Path, platform: FuzzPlatform, counters: Figures) -> None:
    """Read what the probe has seen; raises `BrokenPromiseError` for a stall."""
    for line in looks.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):
            continue  # it was ended while it wrote
        began, took, late, ran = map(float, line.split())
        stall = max(0.0, took - late)
        counters.stalls.append(stall)
        counters.slowest_seconds = max(counters.slowest_seconds, took)
        counters.machine_seconds = max(counters.machine_seconds, late)
        if stall > counters.worst[0]:
            # What went out within the second before it, and while it lasted.
            then = [n for at, n in platform.recent if began - 1 <= at <= began + took]
            named = f"seed {platform.seed}: {', '.join(then[-12:])}"
            counters.worst = (
                stall,
                f"{named}; ran {ran * 1e3:.0f} ms, machine {late * 1e3:.0f} ms late",
            )
    if counters.worst[0] > MOST_STALL_SECONDS:
        raise BrokenPromiseError(
            f"status took {counters.worst[0]:.3f} s: {counters.worst[1]}"
        )


async def try_seed(seed: int, seconds: float, total: Figures) -> bool:
    """Go through one round, say how it was, and keep the seed of one that fails."""
    causes = ""
    with tempfile.TemporaryDirectory(dir=os.environ.get("FUZZ_DIRECTORY")) as name:
        try:
            counters = await fuzz_round(Path(name), seed, seconds)
        except* (BrokenPromiseError, OSError, TimeoutError, ValueError) as group:
            causes = "\n".join(f"{type(e).__name__}: {e}" for e in _leaves(group))
    if causes:
        SEEDS.mkdir(exist_ok=True)
        (SEEDS / str(seed)).write_text(causes + "\n")
        print(f"SEED={seed} failed: {causes}", flush=True)
        return False
    total.add(counters)
    print(f"SEED={seed} {counters}", flush=True)
    return True


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _seeds(wanted: str) -> Iterator[int]:
    """Yield the one that is wanted, else those that failed once and then new ones."""
    if wanted:
        yield int(wanted)
        return
    yield from sorted(int(path.name) for path in SEEDS.glob("[0-9]*"))
    seed = secrets.randbelow(10**9)
    while True:
        yield seed
        seed += 1


async def main() -> bool:
    """Go through rounds for as long as was asked; return whether all of them held."""
    ends = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "3600"))
    total, failed, started = Figures(), 0, time.monotonic()
    for seed in _seeds(os.environ.get("SEED", "")):
        left = ends - time.monotonic()
        failed += not await try_seed(seed, min(ROUND_SECONDS, max(left, 1.0)), total)
        if time.monotonic() >= ends:
            break
    print(f"{time.monotonic() - started:.0f} s, {failed} rounds failed; {total}")
    print(", ".join(f"{name} {n}" for name, n in sorted(total.counts.items())))
    return not failed


if __name__ == "__main__":
    sys.exit(not anyio.run(main))
