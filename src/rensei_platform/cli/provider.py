"""`provider`: where credentials can come from."""

import click

from rensei_platform.cli.client import Client, path, uses_client
from rensei_platform.cli.output import print_json, print_table, utc_option


@click.group("provider")
def provider() -> None:
    """List the instances of credential providers."""


@provider.command("list")
@uses_client
@utc_option
def list_providers(client: Client, as_json: bool) -> None:
    """List the instances that the organization may use, and which of them fail.

    Addresses and secrets stand in platform.toml alone.

    Example: rensei-platform provider list
    """
    answer = client.call("GET", path("api", "admin", "providers"))
    if as_json:
        print_json(answer)
        return
    rows = []
    for found in answer["providers"]:
        failures = found["failures"]
        causes = ", ".join(f"{one['kind']}: {one['cause']}" for one in failures)
        rows.append((found["name"], found["type"], found["prefix"], causes or "works"))
    print_table(("NAME", "TYPE", "PREFIX", "STATE"), rows)
