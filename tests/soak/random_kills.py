"""Kill the daemon at random moments of a busy life, hundreds of times.

Mutations, redeliveries (of the same content and of other), hand edits and reloads come
in a random order, with SIGKILL among them; now and then everything comes to rest and is
compared with the model. Run it alone:
`.venv-dev/bin/python tests/soak/random_kills.py --kills 1000`.
"""

import argparse
import random
import secrets
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
from rig import editor
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.model import Model, draw
from rig.verdict import BrokenPromiseError, check, check_no_leftovers, is_nearly_poison

KILLS, REST_EVERY = 300, 10


@dataclass
class Life:
    """One host's busy life."""

    host: Host
    chance: random.Random
    model: Model = field(default_factory=Model)
    edits: int = 0

    def ask(self) -> None:
        """Ask for a few mutations."""
        for _ in range(self.chance.randrange(1, 6)):
            op, params = draw(self.chance)
            self.model.apply(self.host.enqueue(op, **params))

    def ask_again(self) -> None:
        """Send some that were acked again, half of them with other content."""
        rows = self.host.platform.rows
        acked = [m for m in rows.mutations() if m.decided_at is not None]
        for mutation in self.chance.sample(acked, min(3, len(acked))):
            is_other = self.chance.random() < 0.5
            op, params = draw(self.chance) if is_other else (mutation.op, mutation.params)
            rows.deliver_again(mutation, op, params)

    async def edit(self, *, at_rest: bool) -> None:
        """Save by hand; what overwrites what it has not read only while all is at rest."""
        ways = [editor.append, editor.append_slowly]
        if at_rest:
            ways += [editor.rewrite, editor.rename]
        way = self.chance.choice(ways)
        await anyio.to_thread.run_sync(way, self.host.config, self.edits)
        self.edits += 1

    async def act(self) -> None:
        """Do one thing."""
        chosen = self.chance.randrange(6)
        if chosen < 3:
            self.ask()
        elif chosen == 3:
            self.ask_again()
        elif chosen == 4:
            await self.edit(at_rest=False)
        elif self.host.process is not None:
            self.host.process.send_signal(signal.SIGHUP)

    async def rest(self) -> None:
        """Let everything settle, and compare."""
        await self.host.settled(self.host.platform.rows.mutations())
        check(self.host, self.model)
        check_no_leftovers(self.host)
        if lost := editor.missing(self.host.config, range(self.edits)):
            raise BrokenPromiseError(f"hand edits lost: {lost}")
        await self.edit(at_rest=True)


async def live(directory: Path, seed: int, kills: int, *, forks: bool = False) -> str:
    """Live through so many deaths; return what there was."""
    async with open_host(directory, forks=forks) as host:
        life = Life(host, random.Random(seed))  # noqa: S311 - it is to be repeatable
        for death in range(kills):
            await host.start()
            if death % REST_EVERY == REST_EVERY - 1:
                await life.rest()
            for _ in range(life.chance.randrange(1, 4)):
                await life.act()
                await anyio.sleep(life.chance.uniform(0, 0.06))
            if is_nearly_poison(host):
                # A third death would rightly fail it, and the model knows of no deaths.
                await host.settled(host.platform.rows.mutations())
            if await host.end() != -signal.SIGKILL:
                raise BrokenPromiseError("the daemon ended by itself")
            if life.chance.random() < 0.2:
                await life.edit(at_rest=False)
        await host.start()
        await life.rest()
        return (
            f"{kills} kills, {len(host.platform.rows.mutations())} mutations,"
            f" {len(host.platform.log.acks)} acks, {life.edits} hand edits:"
            " file, acks and journal are as the model says"
        )


async def main() -> None:
    """Live once, and say with which seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        print(await live(Path(directory), arguments.seed, arguments.kills))


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
