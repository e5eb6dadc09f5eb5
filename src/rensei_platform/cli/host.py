"""`host`: the hosts of an organization, and what they report."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from rensei_platform.cli.client import Client, path, uses_client
from rensei_platform.cli.host_names import host_id_of
from rensei_platform.cli.mutations import get_history, print_history
from rensei_platform.cli.output import (
    print_fields,
    print_json,
    print_table,
    repeat,
    utc_option,
    watch_option,
)


@click.group("host")
def host() -> None:
    """List hosts, and show what they report."""


@host.command("list")
@uses_client
@utc_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500))
@click.option("--after", metavar="NAME", help="Begin behind this name.")
@click.option("--after-id", metavar="ID", help="Begin behind this host of that name.")
@click.option("--removed", is_flag=True, help="List those that were removed.")
@watch_option
def list_hosts(
    client: Client,
    as_json: bool,
    limit: int,
    after: str | None,
    after_id: str | None,
    removed: bool,
    watch_seconds: float | None,
) -> None:
    """List hosts by name.

    Example: rensei-platform host list --json
    """
    query = {
        "limit": limit,
        "after": after,
        "afterId": after_id,
        "removed": "true" if removed else None,
    }
    repeat(watch_seconds, lambda: _list(client, as_json, query))


def _list(client: Client, as_json: bool, query: dict[str, Any]) -> None:
    answer = client.call("GET", path("api", "admin", "hosts"), query=query)
    if as_json:
        print_json(answer)
        return
    columns = ("id", "name", "version", "lastSeenAt", "activeCount")
    print_table(
        ("ID", "NAME", "VERSION", "LAST SEEN", "ACTIVE"),
        ([row[column] for column in columns] for row in answer["hosts"]),
    )


@host.command("show")
@uses_client
@utc_option
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 500),
    help="Mutations to show, the newest.",
)
@click.argument("named", metavar="HOST")
def show(client: Client, as_json: bool, limit: int, named: str) -> None:
    """Show a host and what it reports, beside what it was asked for.

    The newest mutations are shown, and each project as it was asked for, acked and
    reported: a difference that lasts two heartbeats is marked as drift.

    HOST is a name or an id.

    Example: rensei-platform host show build-07
    """
    host_id = host_id_of(client, named)
    answer = client.call("GET", path("api", "admin", "hosts", host_id))
    history = get_history(client, host_id, limit)
    if as_json:
        print_json(answer | history)
        return
    shown = dict(answer["host"])
    reported = shown.pop("reported")
    if answer["cloned"]:
        shown["cloned"] = "two daemons report as this host"
    print_fields(shown | {f"reported {name}": value for name, value in reported.items()})
    if history["mutations"]:
        click.echo()
        print_history(history)
    if answer["projects"]:
        click.echo()
        _print_projects(answer["projects"])


def _print_projects(projects: Sequence[Mapping[str, Any]]) -> None:
    columns = ("id", "asked", "acked", "reported")
    print_table(
        ("PROJECT", "ASKED", "ACKED", "REPORTED", ""),
        (
            [*(one[name] for name in columns), "drift" if one["drift"] else " "]
            for one in projects
        ),
    )


@host.command("add")
@uses_client
@click.argument("name")
def add(client: Client, as_json: bool, name: str) -> None:
    """Add a host before it registers, so that it can be asked for changes.

    Example: rensei-platform host add build-07
    """
    answer = client.call("POST", path("api", "admin", "hosts"), {"name": name})
    if as_json:
        print_json(answer)
    else:
        click.echo(answer["id"])


@host.command("remove")
@uses_client
@click.argument("host_id", metavar="ID")
@click.option("--force", is_flag=True, help="Also if the host is alive.")
def remove(client: Client, as_json: bool, host_id: str, force: bool) -> None:
    """Remove a host that will not come back.

    What it has not decided is cancelled, its workers and their tokens end, and no rotation
    waits for it. Its history stays. If its daemon runs again, it registers as a new host:
    revoke its key to keep it away.

    Example: rensei-platform host remove host_5f0c2b6a91d3e874a0b1c2d3
    """
    answer = client.call(
        "DELETE",
        path("api", "admin", "hosts", host_id),
        query={"force": "true" if force else None},
    )
    if as_json:
        print_json(answer)
    else:
        click.echo(f"removed; {answer['cancelledMutations']} mutations cancelled")
