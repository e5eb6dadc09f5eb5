"""What the platform says of a rotation's uptake, read liberally."""

from rensei_daemon.errors import TransientError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api.json_fields import JsonFields, fields, text

MOST_NAMED = 100
"""Sessions and hosts that are read of each sort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How far a fleet is with a rotation; the counts are sessions."""

    notified: int
    held: int
    confirmed: int
    received: int
    unknown: int
    behind: int
    laggards: tuple[str, ...]
    """Who is behind, silent or without a report, in words."""
    obstacles: tuple[str, ...]
    """Why it is not safe."""
    is_safe: bool
    """Whether the old value may be revoked."""


def read_receipt(body: object) -> Receipt:
    """Return the receipt of an answer. Raise `TransientError` if there is none."""
    found = fields(body, "a receipt").fields("receipt")
    if found is None or not isinstance(found.raw.get("safeToRevoke"), bool):
        raise TransientError("the platform's answer is not a receipt")
    return Receipt(
        notified=_count(found, "notified"),
        held=_count(found, "held"),
        confirmed=_count(found, "confirmed"),
        received=_count(found, "received"),
        unknown=_count(found, "unknown"),
        behind=_count(found, "behindCount"),
        laggards=(
            *map(_behind, _objects(found, "behind")),
            *_named(found, "vanishedHosts", "silent host"),
            *_named(found, "unknownHosts", "host without a report"),
            *_named(found, "unknownKeys", "key of no registered host"),
        ),
        obstacles=tuple(map(text, found.items("obstacles")[:MOST_NAMED])),
        is_safe=found.raw["safeToRevoke"],
    )


def _count(found: JsonFields, key: str) -> int:
    return int(found.number(key) or 0)


def _objects(found: JsonFields, key: str) -> list[JsonFields]:
    items = found.items(key)[:MOST_NAMED]
    return [JsonFields(item) for item in items if isinstance(item, dict)]


def _behind(one: JsonFields) -> str:
    where = f"host {one.text('host')}, session {one.text('sessionId')}"
    names = [name for name in one.items("behind")[:MOST_NAMED] if isinstance(name, str)]
    return f"behind: {where}: {', '.join(names)}" if names else f"behind: {where}"


def _named(found: JsonFields, key: str, what: str) -> list[str]:
    return [f"{what}: {one.text('name')}" for one in _objects(found, key)]
