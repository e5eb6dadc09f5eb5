"""Follow a rotation until it is safe to revoke the old value."""

import time
from collections.abc import Callable, Sequence

import anyio
import click

from rensei_daemon.cli.session_lookup import sessions_of
from rensei_daemon.cli.terminal import clean
from rensei_daemon.core.escaping import escape_line
from rensei_daemon.errors import RenseiError, TransientError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.locations import Locations
from rensei_daemon.platform_api.operator_client import OperatorClient
from rensei_daemon.platform_api.rotation_receipt import Receipt

POLL_SECONDS = 1.0
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, and for whom."""

    seconds: float
    accept_unknown: bool
    without: Sequence[str] = ()
    """Hosts that do not count, by name or id."""
    show: Callable[[str], None]
    """Called with each line that is news."""
    wait: Callable[[str], None]
    """Called with what is waited for, each time it was looked at."""


async def follow(platform: OperatorClient, rotation_id: str, patience: Patience) -> Receipt:
    """Return the receipt once it is safe, or the last one when the time is over.

    A platform that cannot be reached for a while is asked again. Raise what it refuses.
    """
    deadline = time.monotonic() + patience.seconds
    shown = ""
    while True:
        receipt: Receipt | None = None
        try:
            receipt = await platform.rotation_receipt(
                rotation_id,
                accept_unknown=patience.accept_unknown,
                without=patience.without,
            )
        except TransientError:
            if time.monotonic() + POLL_SECONDS > deadline:
                raise
        else:
            if (line := summary(receipt)) != shown:
                shown = line
                patience.show(line)
            if receipt.is_safe or time.monotonic() + POLL_SECONDS > deadline:
                return receipt
        patience.wait("waiting for the fleet")
        await anyio.sleep(POLL_SECONDS)


def summary(receipt: Receipt) -> str:
    """Return the counts of a receipt on one line."""
    return (
        f"notified {receipt.notified}, held {receipt.held}, "
        f"confirmed {receipt.confirmed}, received {receipt.received}, "
        f"unknown {receipt.unknown}, behind {receipt.behind}"
    )


def conclude(receipt: Receipt, rotation_id: str) -> None:
    """Say that it is safe. Raise RenseiError, after naming who is behind, if it is not."""
    for line in receipt.laggards[:MOST_SHOWN]:
        click.echo(f"  {escape_line(line)}")
    if (more := len(receipt.laggards) - MOST_SHOWN) > 0:
        click.echo(f"  and {more} more")
    if receipt.is_safe:
        click.echo("safe to revoke the old value: yes")
        return
    why = escape_line("; ".join(receipt.obstacles))
    raise RenseiError(
        f"safe to revoke the old value: no ({why})",
        hint=f"go on watching: rensei-platform rotation show {clean(rotation_id)} --wait",
    )


def show_this_host(locations: Locations | None) -> None:
    """Say what is known of this host alone. Raise RenseiError: it is not enough.

    None: the daemon of this host is at another platform.
    """
    for session in sessions_of(locations) if locations else ():
        newest = session["generation"]
        consumers = session["consumers"]
        have = sum(one["generation"] == newest for one in consumers)
        click.echo(
            f"  session {clean(session['id'])} of this host: generation {newest}, "
            f"{have} of {len(consumers)} consumers have it"
        )
    raise RenseiError(
        "the platform does not say who uses the new value",
        hint="before you revoke the old one, look on each host: "
        "rensei-daemon credentials list",
    )
