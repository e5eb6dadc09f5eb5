"""Ask hosts for a mutation in lots, and stop at the first that does not get it."""

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import anyio
import click

from rensei_daemon.cli.follow_mutations import Asked, Followers, Outcome, ReadRecord
from rensei_daemon.cli.operator_access import OperatorAccess
from rensei_daemon.cli.progress import progress
from rensei_daemon.cli.target_hosts import Targets, targets_or_own
from rensei_daemon.cli.terminal import clean
from rensei_daemon.errors import PlatformError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api.operator_client import OperatorClient, RemoteHost

LOT_SECONDS = 1.0
"""The shortest time between two lots."""


@dataclass(frozen=True, slots=True)
class Request:
    """What hosts are asked for, and at which pace."""

    op: str
    params: Mapping[str, Any]
    at_once: int
    """Hosts in a lot."""
    wait_seconds: float | None
    """How long to wait for the answers of a lot; None: not at all."""


class Rollout:
    """Asks the hosts, and has what became of it also when it ends early."""

    def __init__(self, request: Request, read_record: ReadRecord) -> None:
        self.asked: list[Asked] = []
        self.not_asked: list[RemoteHost] = []
        self.refusal: PlatformError | None = None
        """Why the platform did not take the request for the first of `not_asked`."""
        self.is_quiet = False
        self._request = request
        self._read_record = read_record

    @property
    def failed(self) -> list[Asked]:
        """The hosts that have not applied it, if their answers were waited for."""
        if self._request.wait_seconds is None:
            return []
        return [one for one in self.asked if one.outcome is not Outcome.APPLIED]

    async def run(
        self, asking: OperatorAccess, platform: OperatorClient, targets: Targets
    ) -> None:
        """Ask every host meant. Raise what the platform refuses of the first of all."""
        self.not_asked = await targets_or_own(asking, platform, targets)
        while self.not_asked:
            started = time.monotonic()
            await self._ask_lot(
                platform, list(islice(self.not_asked, self._request.at_once))
            )
            if self.refusal or self.failed or not self.not_asked:
                return
            await anyio.sleep(max(0.0, started + LOT_SECONDS - time.monotonic()))

    async def _ask_lot(self, platform: OperatorClient, lot: Sequence[RemoteHost]) -> None:
        first = len(self.asked)
        for host in lot:
            try:
                made = await platform.enqueue_mutation(
                    host.id, self._request.op, self._request.params
                )
            except PlatformError as error:
                if not self.asked:
                    raise
                self.refusal = error
                break
            self.not_asked.remove(host)
            self.asked.append(Asked(host=host, mutation=made))
            self._say(host, f"{made.id} is {made.status}")
        if self._request.wait_seconds is not None:
            await self._wait(platform, first)

    async def _wait(self, platform: OperatorClient, first: int) -> None:
        seconds = self._request.wait_seconds or 0.0
        with progress() as shown:
            self.asked[first:] = await Followers(platform, self._read_record).follow(
                self.asked[first:],
                seconds=seconds,
                show=lambda one: shown.show(f"host {one.host.name}: {one.outcome}"),
            )
        for one in self.asked[first:]:
            why = f": {one.error}" if one.error else ""
            self._say(one.host, f"{one.outcome}{why}")

    def _say(self, host: RemoteHost, what: str) -> None:
        if not self.is_quiet:
            click.echo(f"{clean(host.name)}: {clean(what)}")
