"""The interface of every way to deliver credentials."""

from collections.abc import Callable
from typing import Protocol

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.health import ConsumerHealth


class Delivery(Protocol):
    """One way for a session's values to reach processes.

    A delivery keeps no value that has not been delivered; after a failure it is called
    again with the newest generation.
    """

    on_uptake: Callable[[], None]
    """Called whenever `consumers` has changed."""

    @property
    def kind(self) -> str:
        """The kind of consumer, such as `env_file`."""

    @property
    def name(self) -> str:
        """Its path or program; `kind` and `name` together identify a delivery."""

    @property
    def after(self) -> "Delivery | None":
        """The delivery that must have a generation before this one gets it."""

    @property
    def retries(self) -> tuple[float, ...] | None:
        """The seconds before each retry of a generation; no retry after the last.

        None: retry forever.
        """

    @property
    def splay_seconds(self) -> float:
        """How long a generation may wait before it is delivered, at random."""

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """The consumers, and the newest generation each of them has."""

    @property
    def takes_turns(self) -> bool:
        """Whether `deliver_at_once` takes so long that other sessions go first."""

    def deliver_at_once(self, credentials: Credentials) -> bool | None:
        """Do what `deliver` does if it needs no waiting; else do nothing and return None.

        Failures are left to `deliver`, too.
        """

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:
        """Deliver a whole generation; return whether that changed anything for a consumer.

        `difference` is the difference to the generation delivered before. Raises
        `DeliveryError`.
        """

    def confirm(self, credentials: Credentials) -> None:
        """Note that the consumers have had these values since before a restart."""

    async def check(self, credentials: Credentials) -> str:
        """Return how the delivered values were altered; empty while they are in place.

        `credentials` is the generation delivered last.
        """

    async def withdraw(self) -> None:
        """Remove what was delivered: the session is gone; raises `DeliveryError`."""


def ignore_uptake() -> None:
    """Ignore the call."""
