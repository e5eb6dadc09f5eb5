"""What every way of handing over credentials looks like from the rotation."""

from typing import Protocol

from rensei_daemon.core.credential import Credentials, Difference


class Delivery(Protocol):
    """One way for a session's values to reach processes.

    A delivery holds nothing that is not already out there, and is asked again, with the
    newest generation, when it failed.
    """

    @property
    def kind(self) -> str:
        """What sort of consumer this is: `env_file`, for one."""

    @property
    def name(self) -> str:
        """Which one: a path, a program."""

    async def deliver(self, credentials: Credentials, difference: Difference) -> None:
        """Hand over a generation, whole; raises `DeliveryError`."""

    async def withdraw(self) -> None:
        """Take back what was handed over: the session is gone; raises `DeliveryError`."""
