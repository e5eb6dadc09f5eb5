"""`key`, `org` and `audit`: who may do what, and who did."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rensei_platform.cli.client import Client, not_empty, path, uses_client
from rensei_platform.cli.key_file import (
    key_fields,
    new_key_file,
    shown_key,
    write_key_option,
)
from rensei_platform.cli.lazy_group import LazyGroup
from rensei_platform.cli.output import (
    is_terminal,
    print_json,
    print_table,
    shows_once,
    unwritten,
    utc_option,
)
from rensei_platform.errors import PlatformError

_KEYS = ("api", "admin", "keys")


@click.group(
    "key",
    cls=LazyGroup,
    lazy={"rotate-master": "rensei_platform.cli.master_key:rotate_master"},
)
def key() -> None:
    """Add, list and revoke API keys."""


@key.command("add")
@uses_client
@click.option("--for-host", is_flag=True, help="May register, beat and read credentials.")
@click.option("--personal", is_flag=True, help="A token of your own, with your role.")
@click.option("--project", "projects", multiple=True, metavar="ID", help="Only these.")
@click.option("--env", "environments", multiple=True, metavar="NAME", help="Only these.")
@write_key_option
@click.argument("name")
def add_key(
    client: Client,
    as_json: bool,
    for_host: bool,
    personal: bool,
    projects: tuple[str, ...],
    environments: tuple[str, ...],
    new_key: Path | None,
    name: str,
) -> None:
    """Make a key and print it once.

    Example: rensei-platform key add --for-host --project proj_a build-hosts
    """
    if personal and (for_host or projects or environments):
        raise click.UsageError("--personal goes with no other limit")
    body: dict[str, object] = {"name": name, "forHost": for_host, "personal": personal}
    if projects:
        body["projects"] = projects
    if environments:
        body["environments"] = environments
    with new_key_file(new_key):
        answer = client.call("POST", path(*_KEYS), body)
        with _revoked_unless_seen(client, answer["id"]):
            shown = shown_key(answer["key"], new_key)
            if as_json:
                print_json({"id": answer["id"], **key_fields(answer["key"], new_key)})
            else:
                click.echo(f"{answer['id']}, {shown}")


@contextmanager
def _revoked_unless_seen(client: Client, key_id: str) -> Iterator[None]:
    """Revoke a new key if the block cannot write it: it would be valid, and nobody's."""
    try:
        yield
    except OSError as error:
        hint = "The key is revoked. Make another."
        try:
            client.call("DELETE", path(*_KEYS, key_id))
        except PlatformError as refused:  # as to a member, whose personal token it is
            hint = (
                f"The key is valid, and cannot be revoked now: {refused}. Have an owner or "
                f"admin do it: rensei-platform key revoke {key_id}"
            )
        raise unwritten(error, hint) from error


@key.command("list")
@uses_client
@utc_option
def list_keys(client: Client, as_json: bool) -> None:
    """List keys, revoked ones too.

    Example: rensei-platform key list
    """
    answer = client.call("GET", path(*_KEYS))
    if as_json:
        print_json(answer)
        return
    columns = ("id", "name", "prefix", "createdAt", "revokedAt")
    print_table(
        ("ID", "NAME", "BEGINS WITH", "CREATED", "REVOKED", "SCOPES", "LIMITED TO"),
        (
            [*(k[c] for c in columns), ", ".join(k["scopes"]), ", ".join(_limits(k))]
            for k in answer["keys"]
        ),
    )


def _limits(listed: Mapping[str, Any]) -> list[str]:
    """Return the projects and environments of a key; an older server does not say."""
    return [*(listed.get("projects") or ()), *(listed.get("environments") or ())]


@key.command("revoke")
@uses_client
@click.argument("key_id", metavar="ID")
def revoke_key(client: Client, as_json: bool, key_id: str) -> None:
    """Refuse a key from now on, and end its streams.

    Example: rensei-platform key revoke key_5f0c2b6a91d3e874a0b1c2d3
    """
    answer = client.call("DELETE", path(*_KEYS, key_id))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{key_id} is revoked")


@click.group("org")
def org() -> None:
    """Add organizations."""


@org.command("add")
@uses_client
@click.option("--name", required=True, help="Name of the organization.")
@click.option("--owner", required=True, metavar="EMAIL", help="Its first owner.")
@click.argument("org_id", metavar="ID")
def add_org(client: Client, as_json: bool, name: str, owner: str, org_id: str) -> None:
    """Add an organization and print its owner's key once.

    Example: rensei-platform org add --name Beta --owner bob@beta.test org_beta
    """
    body = {"id": org_id, "name": name, "owner": owner}
    answer = client.call("POST", path("api", "admin", "orgs"), body)
    recover = f"rensei-platform init --recover --org-id {answer['orgId']} --owner {owner}"
    with shows_once(
        f"The organization is there. On the database's host, make its owner another key: "
        f"{recover}"
    ):
        if as_json:
            print_json(answer)
        else:
            click.echo(f"{answer['orgId']}; key of {owner}, shown once: {answer['key']}")


@click.command("audit")
@uses_client
@utc_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500))
@click.option(
    "--before",
    metavar="SEQ",
    type=click.IntRange(min=0),
    help="Begin before this entry.",
)
@click.option(
    "--actor", metavar="EMAIL", callback=not_empty, help="Only what this one did."
)
@click.option(
    "--action", metavar="NAME", callback=not_empty, help="Only this, such as key.add."
)
@click.option(
    "--since",
    metavar="TIME",
    callback=not_empty,
    help="Not older, such as 2026-09-01T00:00:00Z.",
)
def audit(client: Client, as_json: bool, **query: object) -> None:
    """List what was done by whom, newest first.

    Example: rensei-platform audit --limit 20
    """
    answer = client.call("GET", path("api", "admin", "audit"), query=query)
    if as_json:
        print_json(answer)
        return
    print_audit(answer)


def print_audit(answer: Mapping[str, Any]) -> None:
    """Print a page of the audit: for people in few columns, so that it fits into 80."""
    if is_terminal():
        print_table(("WHEN", "WHO", "WHAT", "OUTCOME"), map(_entry, answer["entries"]))
        if "before" in answer:
            click.echo(f"older entries: --before {answer['before']}")
        return
    columns = ("seq", "at", "actor", "action", "object", "outcome", "count", "address")
    print_table(
        columns, ([entry[column] for column in columns] for entry in answer["entries"])
    )


def _entry(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of an entry for people."""
    times = f"\N{MULTIPLICATION SIGN} {entry['count']}" if entry["count"] > 1 else ""
    return (
        entry["at"],
        _words(entry["actor"], entry["address"]),
        _words(entry["action"], entry["object"]),
        _words(entry["outcome"], times),
    )


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)
