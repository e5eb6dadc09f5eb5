"""Which changed keys take effect at a reload, and which need a restart."""

from typing import Any

from rensei_daemon.fast_dataclass import names_of
from rensei_daemon.settings.values import Settings

RESTART_KEYS = (
    "platform.url",
    "platform.org_id",
    "platform.ca_file",
    "platform.client_cert_file",
    "platform.client_key_file",
    "machine.name",
    "machine.region",
    "credentials.group",
    "control.group",
    "metrics.listen",
    "log.format",
    "log.file",
    "paths.state",
    "paths.runtime",
)
"""Keys that are read only at start; every other key takes effect at a reload."""


def needs_restart(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """Return the changed keys of `wanted` that need a restart of the running daemon."""
    return tuple(
        name for name in RESTART_KEYS if _value(running, name) != _value(wanted, name)
    )


def _value(settings: Settings, name: str) -> object:
    section, key = name.split(".")
    return getattr(getattr(settings, section), key)


def changed_keys(before: Settings, after: Settings) -> list[str]:
    """Return the keys, as `section.key`, that differ."""
    return [
        f"{section}.{key}"
        for section in names_of(before) or ()
        for key in _keys(getattr(before, section), getattr(after, section))
    ]


def _keys(before: Any, after: Any) -> list[str]:
    if before == after:
        return []
    was, is_now = (_members(value) for value in (before, after))
    return [key for key in was | is_now if was.get(key) != is_now.get(key)]


def _members(section: Any) -> dict[str, Any]:
    if isinstance(section, dict):
        return section
    return {name: getattr(section, name) for name in names_of(section) or ()}
