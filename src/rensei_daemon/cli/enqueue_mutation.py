"""`mutations enqueue`: ask hosts for a change, and wait for what they say."""

from pathlib import Path

import click

from rensei_daemon.cli.completion import one_of
from rensei_daemon.cli.options import Seconds, WholeNumber, config_option
from rensei_daemon.cli.param_arguments import parse_params, read_param_file
from rensei_daemon.cli.printing import json_option
from rensei_daemon.core.mutation import Op


@click.command("enqueue")
@click.argument("op", shell_complete=one_of(lambda: [*Op]))
@click.argument("params", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host, by name or id, instead of this one; may be repeated.",
)
@click.option("--all", "are_all", is_flag=True, help="Every host of the organisation.")
@click.option("--limit-to", metavar="PATTERN", help="With --all: names like 'build-*'.")
@click.option(
    "--at-once",
    type=WholeNumber(1, 100),
    default=5,
    show_default=True,
    metavar="N",
    help="Hosts that are asked at a time, at most one lot a second.",
)
@click.option(
    "--wait", is_flag=True, help="Wait until each host has applied or refused it."
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=Seconds(min=0),
    default=300.0,
    show_default=True,
    metavar="S",
    help="With --wait: give up on a lot of hosts after so many seconds.",
)
@click.option("--unchecked", is_flag=True, help="Send op and params as they are.")
@config_option
@json_option
def enqueue_command(
    op: str,
    params: tuple[str, ...],
    hosts: tuple[str, ...],
    are_all: bool,
    limit_to: str | None,
    at_once: int,
    wait: bool,
    timeout_seconds: float,
    unchecked: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Ask the platform for a mutation of hosts; an admin or owner may.

    KEY=text, KEY:=json or KEY=@file; `mutations ops` lists what there is. Op and params
    are checked before anything is sent. Several hosts are asked in lots, and the first
    that does not get it, or with --wait refuses it, ends the whole.

    Exit codes of --wait: 0 each host has applied it; 1 one has not, or not in time, or
    the platform does not show it.

    Example: rensei-daemon mutations enqueue project.remove id=proj_a --host build-07 --wait
    """
    from rensei_daemon.cli.enqueue_on_hosts import Options, enqueue

    options = Options(
        hosts=hosts,
        are_all=are_all,
        limit_to=limit_to,
        at_once=at_once,
        wait_seconds=timeout_seconds if wait else None,
        is_checked=not unchecked,
        as_json=as_json,
    )
    enqueue(op, parse_params(params, read_param_file), options, config)
