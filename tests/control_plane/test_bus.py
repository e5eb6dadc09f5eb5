"""Messages between servers: what is sent, and what is taken for one."""

import pytest

from rensei_platform.bus.local import LocalBus
from rensei_platform.bus.messages import Message, Topic, dump, parse


def test_a_message_is_ids() -> None:
    """It names its sender, so that a server does not hear itself twice."""
    text = dump("replica_a", Message(Topic.ROTATION, ("org", "rot_1")))
    assert text == '["replica_a","rotation","org","rot_1"]'
    assert parse(text) == ("replica_a", Message(Topic.ROTATION, ("org", "rot_1")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[]",
        '["a"]',
        '["a","rotation"]',
        '["a","rotation","org"]',
        '["a","rotation","org","rot","more"]',
        '["a","rotation","org",1]',
        '[1,"rotation","org","rot"]',
        '["a","rotation",["org"],"rot"]',
        '["a",["rotation"],"org","rot"]',
        '["a","no such topic","org"]',
        '["a","missed"]',
        "[" * 100_000,
    ],
)
def test_what_is_no_message_is_ignored(text: str) -> None:
    """Whoever may connect to the database may send anything."""
    assert parse(text) is None


async def test_a_topic_is_heard_by_its_subscribers() -> None:
    """And by nobody else."""
    bus, heard = LocalBus(), list[Message]()
    bus.subscribe(Topic.KEY_REVOKED, heard.append)
    await bus.publish(Message(Topic.HOST_PENDING, ("host",)))
    await bus.publish(Message(Topic.KEY_REVOKED, ("key",)))
    assert heard == [Message(Topic.KEY_REVOKED, ("key",))]
