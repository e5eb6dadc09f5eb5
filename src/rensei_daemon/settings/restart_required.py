"""What a reload cannot take up."""

from rensei_daemon.settings.model import Settings

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
"""Keys that are read once, at start; every other key takes effect live."""


def needs_restart(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """Return the keys of `wanted` that wait for a restart of the running daemon."""
    return tuple(
        name for name in RESTART_KEYS if _value(running, name) != _value(wanted, name)
    )


def _value(settings: Settings, name: str) -> object:
    section, key = name.split(".")
    return getattr(getattr(settings, section), key)
