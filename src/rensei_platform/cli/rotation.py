"""`rotation`: what became of rotations, and whether the old value may be revoked."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from rensei_platform.cli.client import Client, path, uses_client
from rensei_platform.cli.output import print_json, print_table, shown, utc_option, waiting

POLL_SECONDS = 1.0
MOST_NAMED = 20
"""Sessions and hosts that are printed of each sort; `--json` has more."""


@click.group("rotation")
def rotation() -> None:
    """List rotations, and show who uses the new value."""


@rotation.command("list")
@uses_client
@utc_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500))
def list_rotations(client: Client, as_json: bool, limit: int) -> None:
    """List rotations, newest first.

    Example: rensei-platform rotation list --limit 10
    """
    answer = client.call("GET", path("api", "admin", "rotations"), query={"limit": limit})
    if as_json:
        print_json(answer)
        return
    columns = ("id", "kind", "rotatedAt", "requestedBy", "sessionCount")
    print_table(
        ("ID", "KIND", "ROTATED AT", "REQUESTED BY", "NOTIFIED"),
        ([row[column] for column in columns] for row in answer["rotations"]),
    )


@rotation.command("show")
@uses_client
@click.argument("rotation_id", metavar="ID")
@click.option(
    "--accept-unknown",
    is_flag=True,
    help="Let sessions pass that cannot tell.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="NAME",
    help="A host that does not count, by name or id, or a key; may be repeated.",
)
@click.option("--wait", is_flag=True, help="Ask again until it is safe.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="With --wait: give up after so long.",
)
def show(
    client: Client,
    as_json: bool,
    rotation_id: str,
    accept_unknown: bool,
    without: Sequence[str],
    wait: bool,
    timeout_seconds: float,
) -> None:
    """Show how far a rotation is, and whether it is safe to revoke the old value.

    With --wait it ends with 0 once it is safe, and with 1 if it is not in time.

    Example: rensei-platform rotation show rot_5f0c2b6a91d3e874 --wait
    """
    where = path("api", "admin", "rotations", rotation_id)
    query = {
        "acceptUnknown": "true" if accept_unknown else None,
        "without": list(without),
    }
    deadline = time.monotonic() + timeout_seconds if wait else 0.0
    with waiting("waiting until it is safe") as show_wait:
        while True:
            answer = client.call("GET", where, query=query)
            is_safe = answer["receipt"]["safeToRevoke"]
            if is_safe or time.monotonic() + POLL_SECONDS > deadline:
                break
            show_wait()
            time.sleep(POLL_SECONDS)
    with suppress(BrokenPipeError):  # "no" is no, also to a reader that has gone
        if as_json:
            print_json(answer)
        else:
            click.echo("\n".join(_lines(answer["rotation"], answer["receipt"])))
    if wait and not is_safe:
        sys.exit(1)


def _lines(rotation: Mapping[str, Any], receipt: Mapping[str, Any]) -> Iterator[str]:
    by = f"{shown(rotation['kind'])} at {rotation['rotatedAt']}"
    yield f"rotation {rotation['id']}: {by}, requested by {shown(rotation['requestedBy'])}"
    counts = ("held", "confirmed", "received", "unknown")
    yield ", ".join(
        [
            f"notified {_counted(receipt['notified'], 'session')}",
            *(f"{name} {receipt[name]}" for name in counts),
            f"behind {receipt['behindCount']}",
        ]
    )
    for one in receipt["behind"][:MOST_NAMED]:
        what = ", ".join(map(shown, one["behind"])) or f"it has version {one['version']}"
        at = f"host {shown(one['host'])}, session {shown(one['sessionId'])}"
        yield f"  behind: {at}: {what}"
    if (more := receipt["behindCount"] - MOST_NAMED) > 0:
        yield f"  and {more} more"
    for key, what in (
        ("vanishedHosts", "silent host"),
        ("unknownHosts", "host without a report"),
        ("unknownKeys", "key of no registered host"),
    ):
        for one in receipt[key][:MOST_NAMED]:
            yield f"  {what}: {shown(one['name'])} ({one['id']})"
    if receipt["safeToRevoke"]:
        yield "safe to revoke the old value: yes"
        return
    yield f"safe to revoke the old value: no ({'; '.join(receipt['obstacles'])})"
    yield (
        "  exclude a host or a key with --without NAME, "
        "sessions that cannot tell with --accept-unknown"
    )


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
