"""What every way of handing over credentials looks like from the rotation."""

from collections.abc import Callable
from typing import Protocol

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.health import ConsumerHealth


class Delivery(Protocol):
    """One way for a session's values to reach processes.

    A delivery holds nothing that is not already out there, and is asked again, with the
    newest generation, when it failed.
    """

    on_uptake: Callable[[], None]
    """Called whenever `consumers` has changed."""

    @property
    def kind(self) -> str:
        """What sort of consumer this is: `env_file`, for one."""

    @property
    def name(self) -> str:
        """Which one: a path, a program; with `kind` it tells deliveries apart."""

    @property
    def after(self) -> "Delivery | None":
        """Which delivery must have a generation before this one is handed it."""

    @property
    def retries(self) -> tuple[float, ...] | None:
        """The seconds before each further try of a generation, then no more.

        None: it is tried for ever.
        """

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """Who is handed to, and the newest generation each has."""

    def deliver_at_once(self, credentials: Credentials) -> bool | None:
        """Do what `deliver` does if that takes no waiting; None, and nothing done, if not.

        A failure too is left to `deliver`.
        """

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:
        """Hand over a generation, whole; return whether that changed anything out there.

        `difference` is against the last generation that was handed over. Raises
        `DeliveryError`.
        """

    async def check(self, credentials: Credentials) -> str:
        """Return what has become of what was handed over; empty while it is in place.

        `credentials` is the generation that was handed over last.
        """

    async def withdraw(self) -> None:
        """Take back what was handed over: the session is gone; raises `DeliveryError`."""


def ignore_uptake() -> None:
    """Hear of an uptake, and do nothing."""
