"""Processes that have left the socket, and live on with what they read."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import pytest
from polling import until, wait_until

from rensei_daemon.core.health import ConsumerHealth, Proof
from rensei_daemon.delivery import departed_readers
from rensei_daemon.delivery.departed_readers import DepartedReaders, FormerReaders
from rensei_daemon.disk import processes

if TYPE_CHECKING:
    from delivery.conftest import Lab, Publisher

HELLO = b'{"type":"HELLO","sessionId":"build"}\n'
# Reads, leaves, and comes back and stays for each line of input.
WORKER = """
import socket, sys
def read():
    reader = socket.socket(socket.AF_UNIX)
    reader.connect(sys.argv[1])
    reader.sendall(b'{"type":"HELLO","sessionId":"build"}\\n')
    while not reader.recv(65536).endswith(b"\\n"): pass
    return reader
read().close()
kept = [read() for line in sys.stdin]
"""


def seen(publisher: "Publisher") -> list[tuple[str, int | None, int | None]]:
    """Return kind, pid and generation of every consumer."""
    consumers = publisher.subscribers.consumers
    return [(line.kind, line.pid, line.generation) for line in consumers]


@asynccontextmanager
async def departed(lab: "Lab") -> AsyncIterator[tuple["Publisher", anyio.abc.Process]]:
    """Run a worker that has read the first values and left."""
    argv = [sys.executable, "-S", "-E", "-c", WORKER, str(lab.path)]
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        process = await anyio.open_process(argv, stderr=None)
        try:
            await publisher.until(lambda: seen(publisher) == [("process", process.pid, 1)])
            yield publisher, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def test_a_process_is_known_until_it_ends(lab: "Lab") -> None:
    """It has the values that it read, whatever is rotated."""
    async with departed(lab) as (publisher, process):
        (line,) = publisher.subscribers.consumers
        assert line.proof is Proof.UNKNOWN
        assert line.started == processes.start_ticks(process.pid)
        await publisher.publish(A="2")
        assert seen(publisher) == [("process", process.pid, 1)]
        process.kill()
        await until(lambda: not seen(publisher))


async def test_the_end_of_a_process_is_found_in_time(lab: "Lab") -> None:
    """By the check that is made of every delivery; it has the board shown anew."""
    async with departed(lab) as (publisher, process):
        process.kill()
        await process.wait()
        told = publisher.uptake
        await publisher.subscribers.check(publisher.credentials)
        assert told.is_set()


async def test_a_process_that_comes_back_is_a_reader_again(lab: "Lab") -> None:
    """And nothing is left of its former connection."""
    async with departed(lab) as (publisher, process):
        await publisher.publish(A="2")
        assert process.stdin is not None
        await process.stdin.send(b"again\n")
        await publisher.until(lambda: seen(publisher) == [("socket", process.pid, 2)])


async def test_with_another_connection_it_has_not_left(lab: "Lab") -> None:
    """A process may have several; the last that it closes counts."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        first, second = lab.connect(HELLO), lab.connect(HELLO)
        for reader in (first, second):
            await reader.frame()
        await publisher.until(lambda: len(seen(publisher)) == 2)
        first.close()
        await publisher.until(lambda: seen(publisher) == [("socket", os.getpid(), 1)])
        second.close()
        await publisher.until(lambda: seen(publisher) == [("process", os.getpid(), 1)])


async def test_what_it_has_not_read_it_does_not_have(lab: "Lab") -> None:
    """It closed the connection with a frame in it."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        await publisher.publish(A="2")
        await publisher.until(lambda: seen(publisher) == [("socket", os.getpid(), 2)])
        reader.close()
        await publisher.until(lambda: seen(publisher) == [("process", os.getpid(), 0)])


def line(pid: int | None, generation: int, started: int | None = None) -> ConsumerHealth:
    """Return the record of a reader."""
    return ConsumerHealth(
        kind="socket", name="w", generation=generation, pid=pid, started=started
    )


def has(departed: DepartedReaders) -> dict[int | None, int | None]:
    """Return the generation of each process."""
    return {one.pid: one.generation for one in departed.lines}


@pytest.mark.parametrize(("version", "generation"), [(7, 1), (8, 0), (None, 0)])
def test_after_a_restart_the_version_says_what_it_has(
    version: int | None, generation: int
) -> None:
    """Generations are counted anew; those who were behind before still are."""
    departed = DepartedReaders()
    readers = (line(os.getpid(), 4), line(os.getppid(), 3))
    departed.restore(FormerReaders(readers=readers, generation=4, version=7))
    assert has(departed) == {os.getpid(): 0, os.getppid(): 0}
    departed.note_values(lambda: version, 1)
    assert has(departed) == {os.getpid(): generation, os.getppid(): 0}
    departed.note_values(lambda: 7, 2)  # later values say nothing about then
    assert has(departed) == {os.getpid(): generation, os.getppid(): 0}


def test_another_process_with_its_pid_is_not_the_reader() -> None:
    """The time of its start tells them apart."""
    departed, own = DepartedReaders(), processes.start_ticks(os.getpid())
    assert own is not None
    departed.add(line(os.getpid(), 1, own - 1))
    assert not departed
    departed.add(line(os.getpid(), 1, own))
    assert departed
    departed.add(line(2**40, 1))  # a damaged status
    assert list(has(departed)) == [os.getpid()]


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    """It runs no more, and has no values."""
    if not (pid := os.fork()):
        os._exit(0)
    try:
        wait_until(lambda: not processes.lives(pid, None))
    finally:
        os.waitpid(pid, 0)


def test_there_is_a_limit_and_no_process_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those above it, and those of another pid namespace, count as one with the oldest."""
    monkeypatch.setattr(departed_readers, "MOST_PROCESSES", 1)
    departed = DepartedReaders()
    departed.add(line(os.getpid(), 5))
    departed.add(line(os.getppid(), 3))
    departed.add(line(0, 4))
    assert has(departed) == {os.getpid(): 5, None: 3}
    departed.discard(os.getpid())
    departed.add(line(os.getppid(), 5))
    assert has(departed) == {None: 3}
