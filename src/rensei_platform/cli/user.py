"""`user`: who belongs to an organization."""

from pathlib import Path
from typing import Any

import click

from rensei_platform.cli.client import Client, path, read_key, url_option, uses_client
from rensei_platform.cli.output import print_json, print_table, shows_once, utc_option

_USERS = ("api", "admin", "users")
ROLES = ("owner", "admin", "member", "auditor")


@click.group("user")
def user() -> None:
    """Add, list and remove users, and let them set a password."""


@user.command("list")
@uses_client
@utc_option
def list_users(client: Client, as_json: bool) -> None:
    """List the members of the organization.

    Example: rensei-platform user list
    """
    answer = client.call("GET", path(*_USERS))
    if as_json:
        print_json(answer)
        return
    columns = ("email", "role", "isOperator", "hasPassword", "createdAt")
    print_table(
        ("EMAIL", "ROLE", "OPERATOR", "PASSWORD", "SINCE"),
        ([row[column] for column in columns] for row in answer["users"]),
    )


@user.command("add")
@uses_client
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True)
@click.argument("email")
def add_user(client: Client, as_json: bool, role: str, email: str) -> None:
    """Make somebody a member; print the link to set a password with, once.

    Example: rensei-platform user add --role admin bob@acme.test
    """
    _print_link(client.call("POST", path(*_USERS), {"email": email, "role": role}), as_json)


@user.command("reset")
@uses_client
@click.argument("email")
def reset_user(client: Client, as_json: bool, email: str) -> None:
    """Make another link to set a password with; earlier ones end.

    Example: rensei-platform user reset bob@acme.test
    """
    _print_link(client.call("POST", path(*_USERS, email, "reset"), {}), as_json)


@user.command("role")
@uses_client
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
def set_role(client: Client, as_json: bool, email: str, role: str) -> None:
    """Change the role of a member, at once for all their sessions and keys.

    Example: rensei-platform user role bob@acme.test admin
    """
    answer = client.call("POST", path(*_USERS, email, "role"), {"role": role})
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{answer['email']} is {answer['role']}")


@user.command("remove")
@uses_client
@click.argument("email")
def remove_user(client: Client, as_json: bool, email: str) -> None:
    """Remove a member, revoke their keys and end the keys' streams.

    Example: rensei-platform user remove bob@acme.test
    """
    answer = client.call("DELETE", path(*_USERS, email))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{email} is a member no longer")


@user.command("set-password")
@url_option
@click.option("--link-file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--password-file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def set_password(
    url: str, link_file: Path | None, password_file: Path | None, as_json: bool
) -> None:
    """Set your password with a link, which can be used once.

    What no file gives is asked for on the terminal.

    Example: rensei-platform user set-password --url https://rensei.example.com
    """
    link = read_key(link_file) if link_file else _ask("Link")
    if password_file is None:
        password = _ask("Password", confirmation_prompt=True)
    else:
        with password_file.open(encoding="utf-8") as opened:
            password = opened.read(4096).removesuffix("\n")
    body = {"link": link.strip(), "password": password}
    answer = Client(url, "").call("POST", path("api", "password"), body)
    if as_json:
        print_json(answer)
    else:
        click.echo("the password is set")


def _ask(what: str, **more: Any) -> str:
    return str(click.prompt(what, hide_input=True, err=True, **more))


def _print_link(answer: dict[str, Any], as_json: bool) -> None:
    email = answer["email"]
    with shows_once(
        f"{email} is a member. Make another link: rensei-platform user reset {email}"
    ):
        if as_json:
            print_json(answer)
        else:
            click.echo(
                f"link for {email}, shown once, until {answer['linkExpiresAt']}: "
                f"{answer['link']}\n"
                "It is for `rensei-platform user set-password`, or /console/password."
            )
