"""The platform's status of this host."""

from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """The status of this host in the platform's last heartbeat answer."""

    status: str
    recommended_action: str = ""
    candidate_pool_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The status for comparison: trimmed, in lower case."""
        return self.status.strip().lower()

    @property
    def is_ok(self) -> bool:
        """Whether the platform reports no problem."""
        return self.name == "ok"

    @property
    def is_objection(self) -> bool:
        """Whether the platform reports a problem with the host itself, not its pool."""
        return self.name not in ("", "ok") and not self.suspends_claiming

    @property
    def suspends_claiming(self) -> bool:
        """Whether no work may be claimed: any `pool_…` status, known or unknown."""
        return self.name.startswith("pool_")
