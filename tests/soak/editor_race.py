"""An editor and the daemon write the same file at the same time, hundreds of times each.

First the editor appends in place, which overwrites nobody: every edit and every mutation
must be there in the end. Then it saves as editors do, by rewriting in place and by
renaming over the file, after reading a text that may be old by then: what the daemon
wrote meanwhile may be overwritten, that is the editor's doing; but no edit may be lost.
Run it alone: `.venv-dev/bin/python tests/soak/editor_race.py`.
"""

import argparse
import random
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
from rig import editor
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.model import Model
from rig.verdict import BrokenPromiseError, check, check_acks, check_journal

Way = Callable[[Path, int], None]

COUNT = 500
PACE_SECONDS = 0.05


async def race(
    host: Host, ways: Sequence[Way], numbers: range, chance: random.Random
) -> Model:
    """Edit and mutate at once; return the model of the mutations, all of them settled."""
    model = Model()
    mutations = []

    async def mutate() -> None:
        for number in numbers:
            mutation = host.enqueue("project.add", id=f"proj_{number}", repository="r")
            mutations.append(mutation)
            model.apply(mutation)
            await anyio.sleep(chance.uniform(0, PACE_SECONDS))

    async with anyio.create_task_group() as both:
        both.start_soon(mutate)
        for number in numbers:
            await anyio.to_thread.run_sync(chance.choice(ways), host.config, number)
            await anyio.sleep(chance.uniform(0, PACE_SECONDS))
    await host.settled(mutations, within=60)
    if lost := editor.missing(host.config, numbers):
        raise BrokenPromiseError(f"hand edits lost: {lost}")
    return model


async def in_place(directory: Path, count: int, seed: int, *, forks: bool = False) -> str:
    """Race an editor that appends."""
    chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
    async with open_host(directory, forks=forks) as host:
        await host.start()
        ways = (editor.append, editor.append_slowly)
        model = await race(host, ways, range(count), chance)
        check(host, model)
        return f"in place: {count} edits against {count} mutations, not one lost"


async def rewriting(directory: Path, count: int, seed: int) -> str:
    """Race an editor that saves what it has read, and more."""
    chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
    async with open_host(directory) as host:
        await host.start()
        ways = (editor.rewrite, editor.rename)
        model = await race(host, ways, range(count), chance)
        check_acks(host, model)
        check_journal(host, model)
        there = host.config.read_text().count('repositories = ["r"]')
        return (
            f"rewritten and renamed: {count} edits against {count} mutations, no edit"
            f" lost; {count - there} mutations overwritten by the editor itself"
        )


async def main() -> None:
    """Race in both styles, and say with which seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    for style in (in_place, rewriting):
        with tempfile.TemporaryDirectory() as directory:
            said = await style(Path(directory), arguments.count, arguments.seed)
            print(said, flush=True)


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
