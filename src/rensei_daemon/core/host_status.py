"""What the platform says about this host as a whole."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """The platform's standing verdict on this host, carried by heartbeat answers."""

    status: str
    recommended_action: str = ""
    candidate_pool_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The status as it is compared: trimmed, lower case."""
        return self.status.strip().lower()

    @property
    def is_ok(self) -> bool:
        """Whether the platform has nothing to object to."""
        return self.name == "ok"

    @property
    def is_objection(self) -> bool:
        """Whether it says, of the host and not of its pool, that something is wrong."""
        return self.name not in ("", "ok") and not self.suspends_claiming

    @property
    def suspends_claiming(self) -> bool:
        """Whether work may not be claimed: any `pool_…` status, known or not."""
        return self.name.startswith("pool_")
