"""A power cut after every call that changes a file: nothing acked is lost, nothing is torn.

One daemon carries out a batch under strace. From its calls follows what a cut after each of
them may leave on the disk (`rig.durable_trace`): what was flushed, and of the rest nothing,
everything, or any torn part. On each of these a new daemon starts, with a platform that
has all of the batch but what was acked before the cut; then file, acks and journal must be
as the model says. Run it alone, perhaps with another seed or for longer:
`.venv-dev/bin/python tests/soak/power_cut.py [--seed N] [--seconds S]`.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from kill_at_every_call import why_not
from platform_template import ORG
from rig.durable_trace import CALLS, Call, Disk, read_trace
from rig.ending import leaving_nothing
from rig.host import NAME, Host, open_host
from rig.model import Model
from rig.verdict import (
    check_acks,
    check_file,
    check_journal,
    check_no_leftovers,
)

HEAD = f"""\
# url and paths are in the environment, so that every copy has the same text
[platform]
org_id = "{ORG}"
[machine]
name = "{NAME}"
"""
BODY = """\
[projects]
# the first
proj_a = { repositories = [] } # a's own
# b's own
proj_b = { repositories = ["https://git.example/b"] }
"""
POLICY = {"matrix": {"anthropic": {"byok": {"allowed": True}}}}
BATCH: tuple[tuple[str, dict[str, Any]], ...] = (
    ("project.remove", {"id": "proj_a"}),
    ("project.add", {"id": "proj_c", "repository": "https://git.example/c"}),
    ("project.add", {"id": "x"}),
    ("modelAccess.set", {"workload": "qa", "policy": POLICY}),
)
IDS = tuple(f"dmut_{number:024x}" for number in range(len(BATCH)))


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut may leave, and which mutations the platform had been told of."""

    after: str
    acked: frozenset[str]
    least: dict[Path, bytes]
    most: dict[Path, bytes]
    any: tuple[dict[Path, bytes], ...]
    """Some of the many others."""


def _model() -> Model:
    model = Model()
    model.tree["projects"] = {
        "proj_a": {"repositories": []},
        "proj_b": {"repositories": ["https://git.example/b"]},
    }
    return model


def _enqueue(host: Host, model: Model, *, without: frozenset[str] = frozenset()) -> None:
    """Ask for the batch, under ids that stay the same, but for those that are acked."""
    for mutation_id, (op, params) in zip(IDS, BATCH, strict=True):
        mutation = host.platform.rows.add_mutation(
            NAME, op, dict(params), mutation_id=mutation_id
        )
        model.apply(mutation)
        if mutation_id in without:
            host.platform.rows.decide(mutation, model.outcomes[mutation_id])


@contextmanager
def _traced(pid: int, file: Path) -> Iterator[None]:
    """Trace a process and all its threads into a file."""
    words = ["strace", "-f", "-y", "-xx", "-s", "100000000", "-o", str(file)]
    words += ["-e", f"trace={','.join(CALLS)}", "-p", str(pid)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        while b"attached" not in tracer.stderr.readline():
            pass
        try:
            yield
        finally:
            tracer.terminate()


async def record(place: Path) -> tuple[Disk, list[Call]]:
    """Carry out the batch; return the disk before it, and the calls."""
    async with open_host(place, beat_ms=150) as host:
        host.fixed_head = HEAD
        host.config.write_text(HEAD + BODY)
        pid = await host.start("rig.one_worker")
        await host.until(lambda status: status["state"] == "ok")
        trace = place / "trace"
        with _traced(pid, trace):
            disk = Disk.of(host.state, host.config.parent)
            _enqueue(host, _model())
            await host.settled([host.platform.rows.mutation(id_) for id_ in IDS])
            await host.until(lambda status: not status["mutations"]["unacknowledged"])
    return disk, list(read_trace(trace.read_text()))


def cuts(disk: Disk, calls: list[Call], chance: random.Random) -> Iterator[Cut]:
    """Yield a cut after each call that matters."""
    acked: frozenset[str] = frozenset()
    for call in calls:
        if call.name == "sendto":
            body = call.texts[0]
            if b"/heartbeat" in body or b"appliedMutations" in body:
                sent = frozenset(id_ for id_ in IDS if id_.encode() in body)
                acked |= sent
        elif disk.apply(call):
            some = tuple(disk.any(chance) for _ in range(2))
            what = f"{call.name} of {call.path.name}"
            yield Cut(what, acked, disk.least(), disk.most(), some)


async def survive(cut: Cut, left: dict[Path, bytes], origin: Path) -> None:
    """Start on what a cut has left; raises `BrokenPromiseError`."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        async with open_host(place, beat_ms=50) as host:
            host.fixed_head = HEAD
            host.config.unlink()
            for path, content in left.items():
                (place / path.relative_to(origin)).write_bytes(content)
            model = _model()
            _enqueue(host, model, without=cut.acked)
            await host.start()
            waiting = [id_ for id_ in IDS if id_ not in cut.acked]
            await host.settled([host.platform.rows.mutation(id_) for id_ in waiting])
            await host.until(lambda status: not status["mutations"]["unacknowledged"])
            check_file(host, model)
            check_journal(host, model)
            told = {id_: model.outcomes[id_] for id_ in waiting}
            check_acks(host, Model(outcomes=told))
            check_no_leftovers(host)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Print what was tried if it fails."""
    try:
        yield
    except BaseException:
        print(f"RED: {what}")
        raise


async def main() -> None:
    """Cut after every call; print how many, and what was left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))  # noqa: S311
    parser.add_argument("--seconds", type=float, default=1800.0, help="at most")
    arguments = parser.parse_args()
    if (reason := why_not()) is not None:
        print(f"skipped: {reason}")
        return
    chance = random.Random(arguments.seed)  # noqa: S311 - to be repeated
    deadline = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as name:
        origin = Path(name)
        disk, calls = await record(origin)
        done, seen = 0, set[int]()
        found = list(cuts(disk, calls, chance))
        for number, cut in enumerate(found, 1):
            for how, left in enumerate((cut.least, cut.most, *cut.any)):
                kind = hash((cut.acked, *sorted(left.items())))
                if kind in seen or time.monotonic() > deadline:
                    continue
                seen.add(kind)
                with _named(
                    f"seed {arguments.seed}, cut {number} after {cut.after}, {how}"
                ):
                    await survive(cut, left, origin)
                done += 1
    print(
        f"{len(found)} cuts, {done} different disks (seed {arguments.seed}): "
        "nothing acked was lost, nothing came twice, nothing was torn"
    )
    if time.monotonic() > deadline:
        sys.exit("out of time")


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
