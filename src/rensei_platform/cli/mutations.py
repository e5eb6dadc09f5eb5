"""`mutations`: what hosts are asked for, and what became of it."""

import json
from collections.abc import Mapping
from typing import Any

import click

from rensei_platform.cli.client import Client, path, uses_client
from rensei_platform.cli.host_names import host_id_of
from rensei_platform.cli.output import (
    print_json,
    print_table,
    repeat,
    utc_option,
    watch_option,
)

_MUTATIONS = path("api", "daemon", "mutations")


@click.group("mutations")
def mutations() -> None:
    """Ask hosts for changes, and list or cancel them."""


@mutations.command("list")
@uses_client
@utc_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500))
@click.argument("named", metavar="HOST")
@watch_option
def list_mutations(
    client: Client, as_json: bool, limit: int, named: str, watch_seconds: float | None
) -> None:
    """List a host's mutations, newest first. HOST is a name or an id.

    Example: rensei-platform mutations list build-07
    """
    host_id = host_id_of(client, named)
    repeat(watch_seconds, lambda: _list(client, as_json, limit, host_id))


def _list(client: Client, as_json: bool, limit: int, host_id: str) -> None:
    answer = get_history(client, host_id, limit)
    if as_json:
        print_json(answer)
    else:
        print_history(answer)


def get_history(client: Client, host_id: str, limit: int) -> dict[str, Any]:
    """Return the answer that lists a host's mutations, newest first."""
    return client.call("GET", _MUTATIONS, query={"workerHostId": host_id, "limit": limit})


def print_history(answer: Mapping[str, Any]) -> None:
    """Print a host's mutations."""
    columns = ("id", "op", "status", "requestedBy", "createdAt", "error")
    print_table(
        ("ID", "OP", "STATUS", "REQUESTED BY", "CREATED", "ERROR"),
        ([row[column] for column in columns] for row in answer["mutations"]),
    )


@mutations.command("enqueue")
@uses_client
@click.option("--params", default="{}", metavar="JSON", help="The op's params.")
@click.argument("named", metavar="HOST")
@click.argument("op")
def enqueue(client: Client, as_json: bool, params: str, named: str, op: str) -> None:
    """Ask a host for a change. HOST is a name or an id.

    Example: rensei-platform mutations enqueue build-07
    project.remove --params '{"id": "proj_a"}'
    """
    given = _parse(params)
    body = {"workerHostId": host_id_of(client, named), "op": op, "params": given}
    answer = client.call("POST", _MUTATIONS, body)
    if as_json:
        print_json(answer)
    else:
        click.echo(answer["mutation"]["id"])


def _parse(params: str) -> Any:
    try:
        return json.loads(params)
    except (ValueError, RecursionError):
        raise click.UsageError("--params must be JSON") from None


@mutations.command("cancel")
@uses_client
@click.argument("mutation_id", metavar="ID")
def cancel(client: Client, as_json: bool, mutation_id: str) -> None:
    """Cancel a mutation that no host has picked up yet.

    Example: rensei-platform mutations cancel dmut_5f0c2b6a91d3e874a0b1c2d3
    """
    answer = client.call("DELETE", path("api", "daemon", "mutations", mutation_id))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{mutation_id} is cancelled")
