"""What replicas tell one another: a topic and ids, never a value.

A message may be lost. Who hears it reads from the database what it is about, and a
reconciling read every few seconds finds what nobody heard of. So publishing fails silently,
and hearing a message twice does no harm.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

from anyio.abc import TaskStatus


class Topic(StrEnum):
    """What a message is about, and the ids that come with it."""

    ROTATION = "rotation"
    """Organization, rotation: it is stored, and its sessions are to be notified."""
    CONFIRMED = "confirmed"
    """Rotation: a replica has notified its sessions."""
    KEY_REVOKED = "key-revoked"
    """Key: its streams have to end."""
    HOST_PENDING = "host-pending"
    """Host: a mutation waits for it."""
    ORG_CHANGED = "org-changed"
    """Organization: what pages show of it may be different now."""
    MISSED = "missed"
    """No ids: messages may have been lost. A bus raises it by itself; it is never sent."""


class Message(NamedTuple):
    """One message."""

    topic: Topic
    ids: tuple[str, ...] = ()


_IDS = {
    Topic.ROTATION: 2,
    Topic.CONFIRMED: 1,
    Topic.KEY_REVOKED: 1,
    Topic.HOST_PENDING: 1,
    Topic.ORG_CHANGED: 1,
}
Hear = Callable[[Message], None]


class Bus(Protocol):
    """Carries messages between the replicas of a database, the publishing one included."""

    @property
    def is_connected(self) -> bool:
        """Whether messages arrive."""

    def subscribe(self, topic: Topic, hear: Hear) -> None:
        """Have each message of a topic passed to `hear`, which must not wait."""

    async def publish(self, message: Message) -> None:
        """Tell every replica, this one at once. A failure is not reported."""

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Carry messages until cancelled; it may end at once if there is nothing to do."""


class Subscribers:
    """Who hears which topic."""

    def __init__(self) -> None:
        self._by_topic: defaultdict[Topic, list[Hear]] = defaultdict(list)

    def subscribe(self, topic: Topic, hear: Hear) -> None:
        """Have each message of a topic passed to `hear`."""
        self._by_topic[topic].append(hear)

    def deliver(self, message: Message) -> None:
        """Pass a message on."""
        for hear in self._by_topic[message.topic]:
            hear(message)


def dump(sender: str, message: Message) -> str:
    """Return the text of a message."""
    return json.dumps([sender, message.topic, *message.ids], separators=(",", ":"))


def parse(text: str) -> tuple[str, Message] | None:
    """Return who sent a message, and the message. None for what is none."""
    try:
        sender, topic, *ids = json.loads(text)
        known = Topic(topic)
    except (ValueError, TypeError, RecursionError):
        return None
    if len(ids) != _IDS.get(known) or not all(
        isinstance(one, str) for one in (sender, *ids)
    ):
        return None
    return sender, Message(known, tuple(ids))
