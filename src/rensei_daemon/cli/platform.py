"""`rensei-daemon platform`: serve the local platform, and furnish it while it runs.

`serve` is the platform itself; the others talk to one that runs, through its laboratory
door. A value given as NAME=VALUE can be seen in the process list: NAME=@FILE and NAME=-
(standard input) cannot.
"""

import errno
import json
import os
import sqlite3
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.admin_client import ask, named_value, require_local_platform
from rensei_daemon.cli.terminal import clean
from rensei_daemon.errors import RenseiError, StorageError, UsageError

DEFAULT_PORT = 7780
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
ROLES = ("owner", "admin", "member", "auditor")

_url = click.option(
    "--url", default=DEFAULT_URL, show_default=True, help="The running platform."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_id = click.option("--id", "id_", help="Its id; made up when not given.")
_org = click.option("--org", required=True, help="The org's id or name.")
_new_file = click.Path(dir_okay=False, path_type=Path)


@click.group("platform")
def command() -> None:
    """Serve a small platform on this machine, and furnish it.

    Example: rensei-daemon platform serve
    """


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback only.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--state",
    "state_file",
    type=_new_file,
    help="Remember everything in this SQLite file; without it, in memory.",
)
@click.option(
    "--heartbeat-interval-ms",
    type=click.IntRange(min=1),
    default=30_000,
    show_default=True,
    help="How often workers are told to beat.",
)
@click.option(
    "--token-ttl-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="How long a runtime token is good for.",
)
@click.option("--ready-file", type=_new_file, help="Write the URL here when it listens.")
def serve(host: str, port: int, ready_file: Path | None, **choices: Any) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Example: rensei-daemon platform serve --port 7780 --state platform.db
    """
    require_local_platform()
    from rensei_daemon.local_platform.serving import serve as serve_platform
    from rensei_daemon.local_platform.settings import PlatformSettings

    def announce(url: str) -> None:
        click.echo(f"The local platform listens at {url}")
        if ready_file is not None:
            _write_whole(ready_file, f"{url}\n")

    address = _loopback_address(host)
    try:
        serve_platform(
            PlatformSettings(**choices), host=address, port=port, announce=announce
        )
    except OSError as error:
        raise _cannot_serve(error, address, port) from error
    except sqlite3.Error as error:
        raise StorageError(f"{choices['state_file']} cannot be used: {error}") from error


@command.group()
def org() -> None:
    """Set up tenants.

    Example: rensei-daemon platform org add acme
    """


@org.command("add")
@click.argument("name")
@_id
@_url
@_json
def add_org(name: str, id_: str | None, url: str, as_json: bool) -> None:
    """Add an org, and print its id.

    Example: rensei-daemon platform org add acme --id org_acme
    """
    answer = ask(url, "orgs", {"name": name, "id": id_})["org"]
    _print(answer, answer["id"], as_json)


@command.group()
def key() -> None:
    """Hand out API keys.

    Example: rensei-daemon platform key add --org acme --role admin
    """


@key.command("add")
@_org
@click.option("--role", type=click.Choice(ROLES), required=True, help="The owner's.")
@click.option("--owner", help="Who owns it; a mutation is `requested by` its owner.")
@_url
@_json
def add_key(org: str, role: str, owner: str | None, url: str, as_json: bool) -> None:
    """Add an API key, and print it: it is shown this once.

    Example: rensei-daemon platform key add --org acme --role admin > api-key
    """
    answer = ask(url, "keys", {"org": org, "role": role, "owner": owner})["key"]
    _print(answer, answer["token"], as_json)


@command.group()
def host() -> None:
    """Set up worker hosts.

    Example: rensei-daemon platform host add --org acme build-01
    """


@host.command("add")
@_org
@click.argument("name")
@_id
@_url
@_json
def add_host(org: str, name: str, id_: str | None, url: str, as_json: bool) -> None:
    """Add a host before it registers, and print its id.

    Example: rensei-daemon platform host add --org acme build-01
    """
    answer = ask(url, "hosts", {"org": org, "name": name, "id": id_})["host"]
    _print(answer, answer["id"], as_json)


@host.command("status")
@click.argument("host")
@click.argument("status")
@click.option("--action", help="What an operator should do about it.")
@click.option("--candidate", multiple=True, help="A pool to move to; may be repeated.")
@_url
@_json
def set_host_status(
    host: str,
    status: str,
    action: str | None,
    candidate: tuple[str, ...],
    url: str,
    as_json: bool,
) -> None:
    """Send STATUS (ok, pool_deleted, ...) on each beat of HOST; `none` sends none.

    Example: rensei-daemon platform host status build-01 pool_draining
    """
    body = {
        "host": host,
        "status": None if status == "none" else status,
        "recommendedAction": action,
        "candidatePoolIds": list(candidate) or None,
    }
    answer = ask(url, "host-status", body)["host"]
    _print(answer, f"{answer['name']}: {status}", as_json)


@command.group()
def credential() -> None:
    """Set up credentials.

    Example: rensei-daemon platform credential set --org acme --kind github TOKEN=-
    """


@credential.command("set")
@_org
@click.option("--kind", required=True, help="What `credentials rotate` names.")
@click.argument("assignment", metavar="NAME=VALUE|NAME=@FILE|NAME=-")
@click.option("--project", help="Only for this project id.")
@click.option("--env", help="Only for this environment.")
@click.option("--stage", is_flag=True, help="Keep the value for the next rotation.")
@_url
@_json
def set_credential(
    org: str,
    kind: str,
    assignment: str,
    project: str | None,
    env: str | None,
    stage: bool,
    url: str,
    as_json: bool,
) -> None:
    """Set a credential, without a word to anyone.

    A value on the command line can be seen by others: prefer NAME=@FILE or NAME=-,
    which loses one final newline.

    Example: rensei-daemon platform credential set --org acme --kind github TOKEN=@token
    """
    name, value = named_value(assignment)
    body = {
        "org": org,
        "kind": kind,
        "name": name,
        "value": value,
        "projectId": project,
        "envName": env,
        "staged": stage,
    }
    answer = ask(url, "credentials", body)["credential"]
    _print(answer, f"{answer['name']} {'staged' if stage else 'set'}", as_json)


def _print(answer: dict[str, Any], line: str, as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else clean(line))


def _write_whole(path: Path, text: str) -> None:
    """Write a file that whoever waits for it never sees half-written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _loopback_address(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"{host} is not a loopback address: this platform is for one host",
            hint="leave --host away, or use 127.0.0.1 or ::1",
        )
    return address


def _cannot_serve(error: OSError, address: str, port: int) -> RenseiError:
    if error.errno == errno.EADDRINUSE:
        return RenseiError(
            f"port {port} at {address} is in use",
            hint="take another: --port N, or --port 0 for a free one",
        )
    where = f"{error.filename}: " if error.filename else f"{address} port {port}: "
    return StorageError(f"{where}{error.strerror or error}")
