"""Readers that say when they use what they were sent."""

from typing import TYPE_CHECKING

import pytest
from polling import until

from rensei_daemon.clock import CLOCK
from rensei_daemon.core import credential_frames
from rensei_daemon.core.health import Proof

if TYPE_CHECKING:
    from delivery.conftest import Lab, Publisher

HELLO = credential_frames.hello("build", acknowledges=True)


def acknowledge(frame: int) -> bytes:
    """Return the frame that a supervisor sends."""
    return credential_frames.acknowledgement(frame)


def seen(publisher: "Publisher") -> list[tuple[int | None, Proof]]:
    """Return the generation of every consumer, and what it proves."""
    return [(line.generation, line.proof) for line in publisher.subscribers.consumers]


async def test_a_supervisor_is_behind_until_it_acknowledges(lab: "Lab") -> None:
    """It has a generation from then on, and an older frame says nothing of a newer one."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        await publisher.until(lambda: seen(publisher) == [(None, Proof.CONFIRMED)])
        await reader.send(acknowledge(1))
        await publisher.until(lambda: seen(publisher) == [(1, Proof.CONFIRMED)])
        await publisher.publish(A="2")
        await reader.frame()
        await reader.send(acknowledge(2))
        await publisher.until(lambda: seen(publisher) == [(2, Proof.CONFIRMED)])


@pytest.mark.parametrize("frame", [-1, 0, 1, 3])
async def test_an_acknowledgement_is_of_the_newest_frame(lab: "Lab", frame: int) -> None:
    """One that was overtaken is old: the next follows when the command has the next."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        await publisher.publish(A="2")
        await reader.frame()
        await reader.send(acknowledge(frame) + credential_frames.bye("the end"))
        await publisher.until(lambda: seen(publisher) == [(None, Proof.UNKNOWN)])


def waits(publisher: "Publisher") -> list[float | None]:
    """Return how many seconds each consumer still waits on purpose."""
    ends = [line.waits_until for line in publisher.subscribers.consumers]
    now = CLOCK.now()
    return [None if end is None else (end - now).total_seconds() for end in ends]


def note_waits(publisher: "Publisher") -> list[float | None]:
    """Return a list in which each change notes how long the consumers still wait."""
    said: list[float | None] = []
    publisher.subscribers.on_uptake = lambda: said.extend(waits(publisher))
    return said


async def test_a_supervisor_waits_until_it_acknowledges(lab: "Lab") -> None:
    """Newer values take the wait over: what it says of them does not put it off."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        said = note_waits(publisher)
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        await reader.send(credential_frames.waiting(60))
        await until(lambda: any(said))
        await publisher.publish(A="2")
        await reader.frame()
        await reader.send(credential_frames.waiting(9000) + acknowledge(2))
        await until(lambda: seen(publisher) == [(2, Proof.CONFIRMED)])
        assert waits(publisher) == [None]
        assert max(one for one in said if one) < 60
        # With nothing to wait for, it means nothing.
        said.clear()
        await reader.send(credential_frames.waiting(60) + credential_frames.bye("the end"))
        await until(lambda: seen(publisher) == [(2, Proof.UNKNOWN)])
        assert set(said) == {None}


@pytest.mark.parametrize("seconds", [0.05, 60])
async def test_a_wait_that_is_over_is_none(lab: "Lab", seconds: float) -> None:
    """Who does not acknowledge then is behind; so is a process that leaves meanwhile."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        said = note_waits(publisher)
        await reader.send(credential_frames.waiting(seconds))
        await until(lambda: any(said))
        if seconds < 1:
            await until(lambda: waits(publisher) == [None])
        await reader.send(credential_frames.bye("the end"))
        await until(lambda: seen(publisher) == [(None, Proof.UNKNOWN)])
        assert waits(publisher) == [None]


async def test_who_does_not_acknowledge_does_not_wait(lab: "Lab") -> None:
    """It counts as up to date with what it has read."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        said = note_waits(publisher)
        await publisher.publish(A="1")
        reader = lab.connect(credential_frames.hello("build"))
        await reader.frame()
        await reader.send(credential_frames.waiting(60) + credential_frames.bye("the end"))
        await until(lambda: seen(publisher) == [(1, Proof.UNKNOWN)])
        assert set(said) == {None}


async def test_values_that_were_equal_again_need_none(lab: "Lab") -> None:
    """They come and go before a frame is sent."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(HELLO)
        await reader.frame()
        await reader.send(acknowledge(1))
        await publisher.until(lambda: seen(publisher) == [(1, Proof.CONFIRMED)])
        await publisher.publish(A="2" * 40_000)  # not sent at once
        await publisher.publish(A="1")
        await publisher.until(lambda: seen(publisher) == [(3, Proof.CONFIRMED)])


@pytest.mark.parametrize("said", [b"", acknowledge(2)])
async def test_who_does_not_announce_it_has_received(lab: "Lab", said: bytes) -> None:
    """As the platform's public client, and an older `exec`."""
    async with lab.listening() as credential_socket:
        publisher = lab.publishing(credential_socket.subscribers("build", None))
        await publisher.publish(A="1")
        reader = lab.connect(credential_frames.hello("build"))
        await reader.frame()
        proofs = []
        publisher.subscribers.on_uptake = lambda: proofs.extend(seen(publisher))
        await publisher.publish(A="2")
        await reader.frame()
        await reader.send(said + credential_frames.bye("the end"))
        await until(lambda: proofs[-1:] == [(2, Proof.UNKNOWN)])  # it has left
        assert (2, Proof.CONFIRMED) not in proofs
