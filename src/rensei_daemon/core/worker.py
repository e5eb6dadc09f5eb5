"""This host as the platform knows it: what it registers with, and what it gets for it."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rensei_daemon.core.admission import AdmissionReport


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfo:
    """The machine, as far as it could be looked at; what is None is not sent."""

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
    """What this host says when it registers."""

    machine_id: str
    hostname: str
    capacity: int
    """Sessions at most; the platform refuses less than 1."""
    version: str
    report: AdmissionReport
    region: str = ""
    capabilities: tuple[str, ...] = ()
    host: HostInfo = HostInfo()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What the platform made of this host; kept across restarts."""

    id: str
    machine_id: str
    """The machine that registered: on any other the worker is not ours to use."""
    token: str = field(default="", repr=False)
    """The runtime token; empty when none is at hand (a reboot, or an old kind of key)."""
    token_expires_at: datetime | None = None
    """Aware; None: the platform did not say."""
    heartbeat_seconds: float | None = None
    """How often the platform wants to hear from us, if it said."""
    host_id: str = ""
    """The platform's row of this host, which mutations name; empty: it did not say."""
    registered_report: str | None = None
    """The hash of the report it was registered with; None: not on record."""
    org_id: str = ""
    """The organisation its last token spoke for; empty before the first token."""


def organisation(token: str) -> str:
    """Return the organisation a runtime token speaks for; empty if it names none."""
    found = claims(token).get("org")
    return found if isinstance(found, str) else ""


def claims(token: str) -> Mapping[str, Any]:
    """Return what a JWT says of itself, unverified; nothing when it is not one.

    Only the platform can verify it, and only the platform acts on it: here it tells
    which organisation and which expiry the platform had in mind.
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
