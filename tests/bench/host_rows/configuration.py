"""From the answer that delivers a mutation to the outcome that is durable, and acked."""

import json
import socket
import ssl
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from host_rows.frame import Measured, Row, Run, Target, quantile
from host_rows.processes import Helper, helper
from host_rows.scene import HALF_HOUR, NAME, Scene, scene

HERE = Path(__file__).parent
BEAT_PAUSE_SECONDS = 1.1
"""A daemon sends at most one heartbeat a second."""
MS = 1000

Asked = tuple[str, dict[str, str]]
"""An operation and its params."""


def projects(count: int) -> str:
    """Spell a table: a comment above every tenth entry, one repository each."""
    lines = ["[projects]"]
    for number in range(count):
        if number % 10 == 0:
            lines += ["", f"# team {number // 10}"]
        url = f"https://git.example/acme/service-{number}"
        lines.append(f'proj_{number:05} = {{ repositories = ["{url}"] }}')
    return "\n".join(lines) + "\n"


def batch(count: int, of: int, first: int = 0) -> list[Asked]:
    """Make mutations of all sorts, spread over the file."""
    made: list[Asked] = []
    for number in range(first, first + count):
        project = f"proj_{number * 7 % of:05}"
        more = {"repository": f"https://git.example/more-{number}"}
        made.append(
            (
                ("project.remove", {"id": project}),
                ("project.disable", {"id": project}),
                ("project.add", {"id": project, **more}),
                ("project.add", {"id": f"new_{number}", **more}),
            )[number % 4]
        )
    return made


@dataclass
class Delivery:
    """Delivers mutations to a daemon, and sees when their outcomes are durable."""

    one: Scene
    watch: Helper

    async def seconds(self, asked: Sequence[Asked]) -> float:
        """Return the seconds from the answer that delivers to the last durable outcome."""
        platform = self.one.platform
        acked = len(platform.log.acks)
        self.watch.ask(len(asked))
        assert await anyio.to_thread.run_sync(self.watch.answer) == "waiting"
        hold = platform.faults.hold("POST", "/api/workers/")
        await self._enqueue(asked)
        with anyio.fail_after(60):
            await hold.until_ready()
        while platform.rows.mutations()[-1].delivered_at is None:
            hold, before = platform.faults.hold("POST", "/api/workers/"), hold
            before.release()  # a beat that was on its way already
            with anyio.fail_after(60):
                await hold.until_ready()
        self._check(len(asked))
        start = time.perf_counter()
        hold.release()
        done: float = await anyio.to_thread.run_sync(self.watch.answer)
        await self.one.until(lambda: len(platform.log.acks) >= acked + len(asked))
        return done - start

    async def _enqueue(self, asked: Sequence[Asked]) -> None:
        """Have a heartbeat sent that is answered with all of them."""
        if len(asked) == 1:
            ((op, params),) = asked
            self.one.platform.enqueue(NAME, op, **params)
            return
        self.one.platform.rows.add_mutations(NAME, asked)
        words = [str(self.one.program), "sync"]
        await anyio.run_process(words, env=self.one.environ, check=False)

    def _check(self, count: int) -> None:
        """Make sure that one answer delivers them all."""
        newest = self.one.platform.rows.mutations()[-count:]
        if len({mutation.delivered_at for mutation in newest}) != 1:
            seen = Counter(mutation.delivered_at for mutation in newest)
            raise AssertionError(f"not in one answer: {seen}")


@dataclass
class BareDelivery:
    """Delivers the same to the bare applier."""

    stream: ssl.SSLSocket
    watch: Helper

    async def seconds(self, asked: Sequence[Asked]) -> float:
        """Return the seconds from the answer to the last durable outcome."""
        answer = {
            "acknowledged": True,
            "pendingMutations": [
                {"id": f"dmut_{number:024}", "op": op, "params": params}
                for number, (op, params) in enumerate(asked)
            ],
        }
        line = json.dumps(answer).encode() + b"\n"
        self.watch.ask(len(asked))
        assert await anyio.to_thread.run_sync(self.watch.answer) == "waiting"
        start = time.perf_counter()
        self.stream.sendall(line)
        done: float = await anyio.to_thread.run_sync(self.watch.answer)
        return done - start


@contextmanager
def bare(one: Scene) -> Iterator[BareDelivery]:
    """Run the bare applier on a copy of the host's file, beside it."""
    config, database = one.disk / "bare.toml", one.disk / "bare.db"
    config.write_bytes(one.config.read_bytes())
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(one.ca_file, one.ca_file.with_suffix(".key"))
    python = one.run.bin / "python"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asked = (port, one.ca_file, config, database)
        process = helper(python, HERE / "bare_applier.py", *asked, is_ready=False)
        with process as applier:
            plain, _ = listener.accept()
            with tls.wrap_socket(plain, server_side=True) as stream:
                assert applier.answer() == "ready"
                with helper(python, HERE / "journal_watch.py", database) as watch:
                    yield BareDelivery(stream, watch)


async def durable(run: Run) -> Mapping[str, Measured]:
    """Deliver one mutation at a time to a host of a hundred projects."""
    rounds = run.samples(30)
    async with scene(run) as one:
        one.configure(projects=projects(100))
        async with one.aged_daemon():
            journal = one.disk / "state" / "journal.db"
            with helper(run.bin / "python", HERE / "journal_watch.py", journal) as watch:
                delivery = Delivery(one, watch)
                taken = []
                for number in range(rounds):
                    taken.append(await delivery.seconds(batch(1, 100, number)))
                    await anyio.sleep(BEAT_PAUSE_SECONDS)
        with bare(one) as floor:
            least = [await floor.seconds(batch(1, 100, n)) for n in range(rounds)]
    return {
        name: Measured(quantile(taken, share) * MS, quantile(least, share) * MS)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


async def thousand(run: Run) -> Mapping[str, Measured]:
    """Deliver a thousand mutations in one answer."""
    found: dict[str, Measured] = {}
    for count in (1_000, 10_000):
        seconds, late, least, calm = await _thousand_on(run, count)
        found[f"on {count:,} projects"] = Measured(seconds, least)
        found[f"on {count:,} projects: slowest answer meanwhile"] = Measured(late, calm)
    return found


async def _thousand_on(run: Run, count: int) -> tuple[float, float, float, float]:
    """Return seconds, the slowest answer in milliseconds, and the floors of both."""
    asked = batch(run.samples(1000), count)
    python = run.bin / "python"
    async with scene(run) as one:
        one.lift_limit_of_answers(len(asked))
        one.configure(projects=projects(count))
        with bare(one) as floor:
            least = statistics.median([await floor.seconds(asked) for _ in range(3)])
        journal = one.disk / "state" / "journal.db"
        async with one.aged_daemon():
            with (
                helper(python, HERE / "journal_watch.py", journal) as watch,
                helper(python, HERE / "prober.py", one.runtime, "s0") as prober,
            ):
                await anyio.sleep(2)
                calm = await _slowest(prober)
                seconds = await Delivery(one, watch).seconds(asked)
                late = await _slowest(prober)
    return seconds, late * MS, least, calm * MS


async def _slowest(prober: Helper) -> float:
    prober.ask()
    found: float = await anyio.to_thread.run_sync(prober.answer)
    return found


ROWS = (
    Row(
        name="durable",
        title="A mutation from its delivery to the durable outcome, 100 projects",
        note=f"a daemon {HALF_HOUR}, state and file on a disk; 30 mutations, each alone. "
        "From the moment the answer to the heartbeat is released until another "
        "process reads the outcome in the journal. The floor is a process that "
        "stores the mutation, parses the file, replaces it and stores the outcome, "
        "each step flushed to the same disk; it edits nothing and checks nothing.",
        targets={
            "p50": Target(unit="ms", below=40, calm_floor=9),
            "p99": Target(unit="ms"),
        },
        measure=durable,
    ),
    Row(
        name="thousand",
        title="1,000 mutations in one heartbeat",
        note=f"a daemon {HALF_HOUR}; timed as above, once for each size, with the same "
        "floor. Meanwhile a process asks the credential socket every 3 ms; its "
        "floor is the slowest answer of the 2 s before. Our control plane delivers "
        "500 in an answer; for this row it delivers as many as there are.",
        targets={
            "on 1,000 projects": Target(unit="s", below=0.6),
            "on 1,000 projects: slowest answer meanwhile": Target(unit="ms", below=50),
            "on 10,000 projects": Target(unit="s", below=3),
            "on 10,000 projects: slowest answer meanwhile": Target(unit="ms", below=50),
        },
        measure=thousand,
    ),
)
