"""Every answer of the wire, wrong in every way that a seed can think of, for an hour.

A round is a daemon of its own against a platform that answers by one seed. All the while
`status` must be answered within 250 ms; the daemon lives, with its memory, its descriptors
and its state in bounds; its file can be read and keeps its comments; no log and no state
holds a secret; the commands that ask the platform themselves end in order. Once the
platform has come to its senses, every mutation that it handed out rightly has exactly one
outcome, and every session the values that it was told last. The seed of a round that fails
is kept in `seeds/`, and those are tried first from then on.

On a machine with other work, give it the processor first (`nice -n -20 make fuzz`). What
the machine made the daemon wait for is not held against it, but is no proof either: looks
that were late by more than 100 ms for it are counted as void.

    make fuzz                      # FUZZ_SECONDS=3600
    SEED=12 make fuzz              # one round of this seed
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from wire_fuzz.commands import each_command
from wire_fuzz.figures import Figures
from wire_fuzz.platform import FuzzPlatform
from wire_fuzz.target import BrokenPromiseError, Target

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "support"))
from program_end import leaving_nothing  # noqa: E402

SEEDS = HERE / "seeds"
ROUND_SECONDS = 30.0
CALM_SECONDS = 100.0
"""A worker that is gone registers again once a minute at most."""
DELIVERY_SECONDS = 20.0
COMMAND_PAUSE_SECONDS = 2.0
"""Between two commands that ask the platform themselves."""
ONE_IN_OLD = 8
"""So many rounds have one with a platform that knows the older endpoints alone."""


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
    figures = Figures(
        platform.counts,
        resident_mib=resident_mib,
        state_mib=target.most_state_bytes / 2**20,
        descriptors=target.most_descriptors,
        load=os.getloadavg()[0],
    )
    figures.judge_looks(place / "looks", platform)
    return figures


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
    """Have it answer for so many seconds, and look after the daemon meanwhile."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_ask_ourselves, target)
        await _look_after(platform, target, seconds)
        tasks.cancel_scope.cancel()


async def _ask_ourselves(target: Target) -> None:
    commands = each_command(target)
    while True:
        await anyio.to_thread.run_sync(next, commands)
        await anyio.sleep(COMMAND_PAUSE_SECONDS)


async def _look_after(platform: FuzzPlatform, target: Target, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        while True:
            await anyio.to_thread.run_sync(target.check)
            before = platform.counts.total()
            await anyio.sleep(0.5)
            if platform.counts["heartbeat"] % 3 == 0 or platform.counts.total() == before:
                await anyio.to_thread.run_sync(target.wake_heartbeat)


async def _calm_down(platform: FuzzPlatform, target: Target) -> None:
    """Answer as one should, until all is as it should be.

    Every mutation has one outcome, and every session the values it was told last.
    """
    platform.is_calm = True
    await _until_all_told(platform, target)
    await _until_delivered(platform, target)
    if platform.doubled:
        raise BrokenPromiseError(f"twice in one beat: {sorted(platform.doubled)[:5]}")
    for id_, outcomes in platform.outcomes.items():
        if len(outcomes) > 1:
            raise BrokenPromiseError(f"{id_!r} has more than one outcome: {outcomes}")


async def _until_delivered(platform: FuzzPlatform, target: Target) -> None:
    """Every session has the values that it was told last."""
    with anyio.move_on_after(DELIVERY_SECONDS):
        while True:
            if platform.last_values == target.delivered_values():
                return
            await anyio.sleep(0.1)
    delivered = target.delivered_values()
    for session, told in platform.last_values.items():
        if (found := delivered.pop(session, set())) != told:
            missing, stale = sorted(told - found)[:9], sorted(found - told)[:9]
            raise BrokenPromiseError(f"{session} lacks {missing} and has {stale}")
    raise BrokenPromiseError(f"no values were asked for: {sorted(delivered)}")


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


async def try_seed(seed: int, seconds: float, total: Figures) -> bool:
    """Go through one round, say how it was, and keep the seed of one that fails."""
    causes = ""
    with tempfile.TemporaryDirectory(dir=os.environ.get("FUZZ_DIRECTORY")) as name:
        try:
            figures = await fuzz_round(Path(name), seed, seconds)
        except* (BrokenPromiseError, OSError, TimeoutError, ValueError) as group:
            causes = "\n".join(f"{type(e).__name__}: {e}" for e in _leaves(group))
    if causes:
        SEEDS.mkdir(exist_ok=True)
        (SEEDS / str(seed)).write_text(causes + "\n")
        print(f"SEED={seed} failed: {causes}", flush=True)
        return False
    total.add(figures)
    print(f"SEED={seed} {figures}", flush=True)
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
    if not total.is_proof:
        print("the machine was too busy for most looks to say anything")
    return not failed and total.is_proof


if __name__ == "__main__":
    with leaving_nothing():
        sys.exit(not anyio.run(main))
