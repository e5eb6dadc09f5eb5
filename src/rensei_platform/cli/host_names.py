"""Hosts by the name that people know them by."""

from difflib import get_close_matches

import click

from rensei_platform.cli.client import Client, path
from rensei_platform.cli.output import shown

PAGE = 500
_HOSTS = path("api", "admin", "hosts")


def host_id_of(client: Client, named: str) -> str:
    """Return the id of a host that is given by its name or id.

    Raise UsageError if no host has the name, with the nearest one, or several have it.
    """
    if named.startswith("host_"):
        return named
    names: list[str] = []
    ids: list[str] = []
    while True:
        query = {"limit": PAGE, "after": names[-1] if names else None}
        page = client.call("GET", _HOSTS, query=query)["hosts"]
        if any(one["id"] == named for one in page):
            return named
        ids += [one["id"] for one in page if one["name"] == named]
        names += [one["name"] for one in page]
        if len(page) < PAGE:
            break
    if len(ids) > 1:
        raise click.UsageError(f"Several hosts have this name: {', '.join(ids)}")
    if ids:
        return ids[0]
    near = get_close_matches(named, names, n=1)
    hint = f" Did you mean {shown(near[0])!r}?" if near else ""
    raise click.UsageError(f"No host is named {shown(named)!r}.{hint}")
