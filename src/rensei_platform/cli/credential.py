"""`credential`: what sessions are given, and where it comes from."""

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from rensei_platform.cli.client import Client, not_empty, path, uses_client
from rensei_platform.cli.output import print_json, print_table, shown, utc_option
from rensei_platform.errors import SettingsError

_LONGEST_VALUE = 256 * 1024
_CREDENTIALS = ("api", "admin", "credentials")


@click.group("credential")
def credential() -> None:
    """Store, bind and list what sessions are given."""


def _uses_scope(command: Callable[..., None]) -> Callable[..., None]:
    kind = click.option("--kind", required=True, help="Kind of the credential.")
    project = click.option(
        "--project", metavar="ID", callback=not_empty, help="Of this project only."
    )
    environment = click.option(
        "--env", metavar="NAME", callback=not_empty, help="Of this environment only."
    )
    return kind(project(environment(command)))


def _scope(project: str | None, env: str | None) -> dict[str, str]:
    scope = {"projectId": project, "envName": env}
    return {name: value for name, value in scope.items() if value}


@credential.command("set")
@uses_client
@_uses_scope
@click.argument("values", nargs=-1, required=True, metavar="NAME=@FILE...")
def set_values(
    client: Client,
    as_json: bool,
    kind: str,
    project: str | None,
    env: str | None,
    values: tuple[str, ...],
) -> None:
    """Store values, encrypted, in the control plane's own database; tell no session.

    One line end at the end of a file is not part of the value.

    Example: rensei-platform credential set --kind github GITHUB_TOKEN=@token.txt
    """
    read = _once_each(map(_read_value, values))
    body = {"values": read, **_scope(project, env)}
    answer = client.call("PUT", path(*_CREDENTIALS, kind, "values"), body)
    _print_stored(answer, as_json)


def _print_stored(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        click.echo(
            f"stored: {', '.join(answer['names'])}; no session is told until you rotate"
        )


def _once_each(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs by name. Raise UsageError for a name that is given twice."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise click.UsageError(f"{name} is given twice")
        found[name] = value
    return found


def _read_value(argument: str) -> tuple[str, str]:
    name, _, source = argument.partition("=")
    if not name or not source.startswith("@") or source == "@":
        raise click.UsageError(
            f"{name or 'a value'} must be given as NAME=@FILE: arguments are seen by others"
        )
    file = Path(source[1:])
    try:
        with file.open("rb") as opened:
            value = opened.read(_LONGEST_VALUE + 2).decode()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8 text") from None
    return name, value.removesuffix("\n").removesuffix("\r")


@credential.command("generate")
@uses_client
@_uses_scope
@click.option(
    "--bytes",
    "count",
    type=click.IntRange(16, 1024),
    default=32,
    show_default=True,
    help="Random bytes in the value.",
)
@click.argument("name")
def generate(
    client: Client,
    as_json: bool,
    kind: str,
    project: str | None,
    env: str | None,
    count: int,
    name: str,
) -> None:
    """Store a random value; it is not printed.

    Example: rensei-platform credential generate --kind signing SIGNING_SECRET
    """
    body = {"values": {name: secrets.token_urlsafe(count)}, **_scope(project, env)}
    answer = client.call("PUT", path(*_CREDENTIALS, kind, "values"), body)
    _print_stored(answer, as_json)


@credential.command("bind")
@uses_client
@_uses_scope
@click.option("--provider", required=True, metavar="NAME", help="A [providers.NAME].")
@click.option("--path", "at", required=True, metavar="PATH", help="Where it keeps them.")
@click.option(
    "--map",
    "names",
    multiple=True,
    metavar="NAME=FIELD",
    help="Give NAME the value of FIELD; more of them may follow, with or without another "
    "--map. Default: every field, by its name.",
)
@click.option(
    "--watch",
    "watch_seconds",
    type=click.IntRange(30, 604_800),
    metavar="SECONDS",
    help="Ask the provider this often: a change is a rotation that nobody has to call.",
)
@click.argument("more_names", nargs=-1, metavar="[NAME=FIELD]...")
def bind(
    client: Client,
    as_json: bool,
    kind: str,
    project: str | None,
    env: str | None,
    provider: str,
    at: str,
    names: tuple[str, ...],
    watch_seconds: int | None,
    more_names: tuple[str, ...],
) -> None:
    """Take the values of a kind from a provider.

    Example: rensei-platform credential bind --kind github --provider vault
    --path ci/github --map GITHUB_TOKEN=token
    """
    if more_names and not names:
        raise click.UsageError("NAME=FIELD goes with --map")
    mapped = _once_each(map(_split_mapping, (*names, *more_names)))
    body: dict[str, Any] = {"provider": provider, "path": at, "names": mapped}
    body |= _scope(project, env)
    if watch_seconds is not None:
        body["watchSeconds"] = watch_seconds
    answer = client.call("PUT", path(*_CREDENTIALS, kind, "binding"), body)
    if as_json:
        print_json(answer)
        return
    click.echo(f"{kind} comes from {provider}")
    if failure := answer.get("failure"):  # an older server does not say
        click.echo(
            f"warning: {shown(failure['error'])}\nNo session that sees {shown(kind)} gets "
            "credentials until this works: correct it, or `credential unbind` the kind.",
            err=True,
        )


def _split_mapping(argument: str) -> tuple[str, str]:
    name, _, source = argument.partition("=")
    if not name or not source:
        raise click.UsageError("--map takes NAME=FIELD")
    return name, source


@credential.command("unbind")
@uses_client
@_uses_scope
def unbind(
    client: Client, as_json: bool, kind: str, project: str | None, env: str | None
) -> None:
    """Give sessions the values of a kind no longer.

    Example: rensei-platform credential unbind --kind github --project proj_a
    """
    query = _scope(project, env)
    answer = client.call("DELETE", path(*_CREDENTIALS, kind, "binding"), query=query)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{kind} is bound no longer")


@credential.command("list")
@uses_client
@utc_option
def list_bindings(client: Client, as_json: bool) -> None:
    """List kinds and where their values come from; never a value.

    Example: rensei-platform credential list --json
    """
    answer = client.call("GET", path(*_CREDENTIALS))
    if as_json:
        print_json(answer)
        return
    columns = ("kind", "projectId", "envName", "provider", "path")
    print_table(
        (
            *("KIND", "PROJECT", "ENVIRONMENT", "PROVIDER", "PATH"),
            "NAMES",
            "WATCHED",
            "STATE",
            "SINCE",
        ),
        (
            [
                *(one[name] for name in columns),
                *(", ".join(one["names"]), _watched(one), *_state(one)),
            ]
            for one in answer["bindings"]
        ),
    )


def _watched(binding: dict[str, Any]) -> str | None:
    seconds = binding.get("watchSeconds")  # an older server does not say
    return None if seconds is None else f"every {seconds} s"


def _state(binding: dict[str, Any]) -> tuple[str, str | None]:
    """Return whether a provider answers, or why not, and since when."""
    if failure := binding["failure"]:
        return f"fails: {failure['error']}", failure["at"]
    if binding["resolvedAt"]:
        return "resolved", binding["resolvedAt"]
    return "not asked yet", None
