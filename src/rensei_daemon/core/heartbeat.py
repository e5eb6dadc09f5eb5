"""One beat and its answer, as values."""

from dataclasses import dataclass
from datetime import datetime

from rensei_daemon.core.admission import AdmissionReport
from rensei_daemon.core.host_status import HostStatus
from rensei_daemon.core.pending_mutation import PendingMutation


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy this host is."""

    cpu_percent: float
    memory_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acks:
    """Outcomes the platform has not confirmed yet."""

    applied: tuple[str, ...] = ()
    """Mutation ids."""
    failures: tuple[tuple[str, str], ...] = ()
    """(mutation id, reason)."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every mutation these acks speak of."""
        return (*self.applied, *(mutation for mutation, _ in self.failures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What this host tells the platform."""

    status: str
    """`idle`, `busy` or `draining`."""
    active_count: int
    max_sessions: int
    load: Load | None
    load_average: tuple[float, float, float] | None
    """Over one, five and fifteen minutes."""
    report: AdmissionReport
    report_in_full: bool
    """Whether the platform has not seen this report yet."""
    acks: Acks


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatAnswer:
    """What the platform answers."""

    is_acknowledged: bool = True
    """False: it says that it did not take the beat; the acks are owed as before."""
    host_status: HostStatus | None = None
    """None: not said, the last one stands."""
    pending: tuple[PendingMutation, ...] = ()
    """In the order they are to be applied."""
    skipped: int = 0
    """Items that carried no usable id, so that they can be neither applied nor answered."""
    carried_acks: bool = True
    """Whether the beat could carry the acks; the platform's older endpoint has no room."""
    answered_at: datetime | None = None
    """By the platform's clock, where it told."""
    worker_id: str = ""
    """Who the platform took the beat from: another worker has to report in full again."""
