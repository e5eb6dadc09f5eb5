"""What the use cases share: the store, the keys, the providers and the live streams."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rensei_platform.bus.hub import Hub
from rensei_platform.bus.messages import Bus
from rensei_platform.log_limit import LogLimit
from rensei_platform.providers.registry import Registry
from rensei_platform.rules.times import whole_milliseconds
from rensei_platform.sealing import Sealer
from rensei_platform.services.availability import Availability
from rensei_platform.services.changes import Changes
from rensei_platform.services.fan_out_state import FanOutState
from rensei_platform.services.limits import FailureLimiter, of_accounts
from rensei_platform.services.pending_hosts import PendingHosts
from rensei_platform.services.presence import Presence
from rensei_platform.services.refusals import Refusals
from rensei_platform.services.snapshot_notes import SnapshotNotes
from rensei_platform.services.tally import Tally
from rensei_platform.services.values import Values
from rensei_platform.settings import ServerSettings
from rensei_platform.store.engine import Store
from rensei_platform.store.locks import Locks
from rensei_platform.tokens import Tokens


def utc_now() -> datetime:
    """Return the time in whole milliseconds."""
    return whole_milliseconds(datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One server's resources."""

    settings: ServerSettings
    store: Store
    sealer: Sealer
    tokens: Tokens
    registry: Registry
    values: Values
    snapshot_notes: SnapshotNotes
    locks: Locks
    bus: Bus
    hub: Hub
    availability: Availability
    fan_out: FanOutState
    changes: Changes
    tally: Tally
    pending_hosts: PendingHosts
    id: str
    """Of this server, among those of its database; new with each start."""
    schema: str
    """The newest migration that it knows."""
    presence: Presence = field(default_factory=Presence)
    refusals: Refusals = field(default_factory=Refusals)
    failures: FailureLimiter = field(default_factory=FailureLimiter)
    account_failures: FailureLimiter = field(default_factory=of_accounts)
    log_limit: LogLimit = field(default_factory=LogLimit)
    now: Callable[[], datetime] = utc_now
