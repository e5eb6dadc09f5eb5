"""`mutations enqueue`: ask hosts for a change, and wait for what they say."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.completion import one_of
from rensei_daemon.cli.control import ask, config_option
from rensei_daemon.cli.follow_mutations import Asked, Outcome
from rensei_daemon.cli.operator_access import OperatorAccess, operator_access
from rensei_daemon.cli.param_arguments import parse_params, read_param_file
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.rollout import Request, Rollout
from rensei_daemon.cli.target_hosts import Targets, targets_of
from rensei_daemon.cli.terminal import clean
from rensei_daemon.control_api.schema import MUTATION
from rensei_daemon.core.history import MutationRecord
from rensei_daemon.core.mutation import Op, ignored_names
from rensei_daemon.core.op_catalog import check_request, complete_params
from rensei_daemon.errors import RenseiError

MOST_NAMED = 20
"""Hosts that a sentence names."""


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
    type=click.IntRange(1, 100),
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
    type=click.FloatRange(min=0),
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
    targets = targets_of(hosts, are_all, limit_to)
    given = parse_params(params, read_param_file)
    if not unchecked:
        given = complete_params(op, given)
        check_request(op, given)
        _mention_ignored(op, given)
    asking = operator_access(config)
    request = Request(
        op, given, at_once=at_once, wait_seconds=timeout_seconds if wait else None
    )
    rollout = Rollout(request, lambda wanted: _own_record(asking, wanted))
    rollout.is_quiet = as_json or not targets.are_several
    try:
        asking.ask(lambda platform: rollout.run(asking, platform, targets))
    finally:
        _report(rollout, targets, as_json)
    _conclude(asking, rollout)


def _mention_ignored(op: str, params: dict[str, Any]) -> None:
    if names := ignored_names(op, params):
        text = f"note: hosts leave out what they do not know: {', '.join(names)}"
        click.echo(clean(text), err=True)


def _own_record(asking: OperatorAccess, mutation_id: str) -> MutationRecord | None:
    """Return what the daemon of this host says, if this is its platform."""
    if asking.is_of_this_host:
        with suppress(RenseiError):
            found: MutationRecord = ask(asking.locations, MUTATION.at(id=mutation_id))[
                "mutation"
            ]
            return found
    return None


def _report(rollout: Rollout, targets: Targets, as_json: bool) -> None:
    """Print who was asked; the summary also after an interrupt."""
    if as_json and targets.are_several:
        not_asked = [asdict(host) for host in rollout.not_asked]
        hosts = [_for_json(asked) for asked in rollout.asked]
        print_json({"hosts": hosts, "not_asked": not_asked})
    elif as_json and rollout.asked:
        print_json(_for_json(rollout.asked[0]))
    elif targets.are_several and rollout.asked:
        click.echo(_summary(rollout))
    elif rollout.asked and not rollout.failed:
        [asked] = rollout.asked
        op, said = clean(asked.mutation.op), asked.outcome.value
        click.echo(f"{clean(asked.mutation.id)}: {op} is {said}")


def _for_json(asked: Asked) -> dict[str, Any]:
    return {
        "host": asdict(asked.host),
        "mutation": asdict(asked.mutation),
        "outcome": asked.outcome,
        "error": asked.error or None,
    }


def _summary(rollout: Rollout) -> str:
    counts = []
    for outcome in Outcome:
        names = [one.host.name for one in rollout.asked if one.outcome is outcome]
        if names:
            counts.append(f"{outcome}: {_names(names)}")
    if rollout.not_asked:
        counts.append(f"not asked: {_names([one.name for one in rollout.not_asked])}")
    return "\n".join(counts)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(clean, names[:MOST_NAMED]))
    more = len(names) - MOST_NAMED
    return f"{len(names)} ({shown}{f' and {more} more' if more > 0 else ''})"


def _conclude(asking: OperatorAccess, rollout: Rollout) -> None:
    """Raise what the platform refused, or say of the first host why it is not applied."""
    if rollout.refusal:
        raise asking.explained(rollout.refusal)
    if not rollout.failed:
        return
    first = rollout.failed[0]
    where, op = f"host {clean(first.host.name)}", clean(first.mutation.op)
    mutation_id = clean(first.mutation.id)
    at_host = f"look at the host: rensei-daemon mutations show {mutation_id}"
    match first.outcome:
        case Outcome.FAILED:
            why = clean(first.error) or "it gave no reason"
            raise RenseiError(f"{where}: {op} failed: {why}", hint=at_host)
        case Outcome.CANCELLED:
            raise RenseiError(
                f"{where}: {op} was cancelled", hint="ask again, if it is still wanted"
            )
        case Outcome.UNKNOWN:
            raise RenseiError(
                f"{where} has {op}; this platform does not show what became of it",
                hint=at_host,
            )
        case Outcome.DELIVERED:
            raise RenseiError(
                f"{where} has {op}, and has not answered in time", hint=at_host
            )
        case _:
            raise RenseiError(
                f"{where} has not fetched {op} in time",
                hint=f"withdraw it: rensei-daemon mutations cancel {mutation_id}",
            )
