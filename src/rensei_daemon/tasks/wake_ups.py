"""Which waiting loops to wake when something is available again."""

from dataclasses import dataclass

from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.wake_event import WakeEvent


@dataclass(frozen=True, slots=True)
class WakeUps:
    """The loops that may be waiting; one method for each reason to wake them."""

    identity: Identity
    sessions: Sessions
    beat: WakeEvent
    mutations: WakeEvent

    def platform_recovered(self) -> None:
        """Retry a failed token and failed snapshots: a heartbeat has succeeded again."""
        self.identity.retry_now()
        self.sessions.platform_recovered()

    def host_resumed(self) -> None:
        """Retry everything: the machine was suspended, and its timers with it."""
        self.identity.retry_now()
        self.beat.set()
        for rotation in self.sessions.rotations:
            rotation.retry_now()

    def state_opened(self) -> None:
        """Apply mutations and send a heartbeat: the journal is open now."""
        self.mutations.set()
        self.beat.set()
