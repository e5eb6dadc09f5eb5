"""What must not go on waiting when something is there again: which loops are told."""

from dataclasses import dataclass

from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.tasks.wake_event import WakeEvent


@dataclass(frozen=True, slots=True)
class WakeUps:
    """The loops that wait, and the reasons to wake them."""

    identity: Identity
    sessions: Sessions
    beat: WakeEvent
    mutations: WakeEvent

    def platform_recovered(self) -> None:
        """Ask for token and snapshots that failed: a beat has got through again."""
        self.identity.retry_now()
        self.sessions.platform_recovered()

    def host_resumed(self) -> None:
        """Look at everything: the machine was suspended, and its timers with it."""
        self.identity.retry_now()
        self.beat.set()
        for rotation in self.sessions.rotations:
            rotation.retry_now()

    def state_opened(self) -> None:
        """Take up mutations, and tell the platform: there is a journal now."""
        self.mutations.set()
        self.beat.set()
