"""A heartbeat and its answer, as values."""

from datetime import datetime

from rensei_daemon.core.admission import AdmissionReport
from rensei_daemon.core.extensions import Extensions
from rensei_daemon.core.host_status import HostStatus
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.core.uptake import SessionUptake
from rensei_daemon.fast_dataclass import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of this host."""

    cpu_percent: float
    memory_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acks:
    """Outcomes that the platform has not confirmed."""

    applied: tuple[str, ...] = ()
    """Mutation ids."""
    failures: tuple[tuple[str, str], ...] = ()
    """(mutation id, reason)."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all mutations in these acks."""
        return (*self.applied, *(mutation for mutation, _ in self.failures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What this host sends to the platform."""

    status: str
    """`idle`, `busy` or `draining`."""
    active_count: int
    max_sessions: int
    load: Load | None
    load_average: tuple[float, float, float] | None
    """Averages over one, five and fifteen minutes."""
    report: AdmissionReport
    report_in_full: bool
    """Whether the platform has not received this report yet."""
    acks: Acks
    uptake: tuple[SessionUptake, ...] | None = None
    """What each session holds; None: not offered, or reported already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatAnswer:
    """The platform's answer."""

    is_acknowledged: bool = True
    """False: the platform did not accept the heartbeat; the acks remain unconfirmed."""
    host_status: HostStatus | None = None
    """None: not in the answer; the last status stands."""
    pending: tuple[PendingMutation, ...] = ()
    """In the order in which to apply them."""
    skipped: int = 0
    """Items without a usable id, which can be neither applied nor answered."""
    extensions: Extensions = field(default_factory=Extensions)
    """What the platform offers for the next heartbeat."""
    carried_acks: bool = True
    """Whether the request could carry acks; the platform's older endpoint cannot."""
    carried_uptake: bool = False
    """Whether the request carried the uptake; a repeated one does not."""
    answered_at: datetime | None = None
    """By the platform's clock, if known."""
    worker_id: str = ""
    """The worker the platform accepted the heartbeat from; a new worker must report in
    full."""
