"""This host at the platform: what it registers with, and what it is given."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rensei_daemon.core.admission import AdmissionReport
from rensei_daemon.fast_dataclass import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfo:
    """The machine; None values could not be read and are not sent."""

    ip: str | None = None
    os: str | None = None
    """`linux`, `darwin`, …"""
    os_version: str | None = None
    arch: str | None = None
    """`amd64`, `arm64`, …"""
    cpu_cores: int | None = None
    cpu_model: str | None = None
    mem_total_mb: int | None = None
    daemon_version: str | None = None
    started_at: datetime | None = None
    """When the daemon started; aware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What this host sends when it registers."""

    machine_id: str
    hostname: str
    capacity: int
    """The maximum of sessions; the platform refuses less than 1."""
    version: str
    report: AdmissionReport
    region: str = ""
    capabilities: tuple[str, ...] = ()
    host: HostInfo = HostInfo()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """This host's identity from the platform; kept across restarts."""

    id: str
    machine_id: str
    """The machine that registered; on any other the worker may not be used."""
    token: str = field(default="", repr=False)
    """The runtime token; empty if unknown (after a reboot, or with an old kind of key)."""
    token_expires_at: datetime | None = None
    """Aware; None if the platform did not say."""
    heartbeat_seconds: float | None = None
    """The interval the platform asked for, if any."""
    host_id: str = ""
    """The platform's id of this host, which mutations name; empty if unknown."""
    registered_report: str | None = None
    """The hash of the report it was registered with; None if unknown."""
    org_id: str = ""
    """The organisation of its last token; empty before the first token."""


def organisation(token: str) -> str:
    """Return the organisation of a runtime token; empty if it names none."""
    found = claims(token).get("org")
    return found if isinstance(found, str) else ""


def claims(token: str) -> Mapping[str, Any]:
    """Return the unverified claims of a JWT; empty if it is not one.

    Only the platform can verify a token and acts on it; here it only shows which
    organisation and expiry the platform meant.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = json.loads(payload)
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
