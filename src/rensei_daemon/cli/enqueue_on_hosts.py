"""Enqueue a mutation on the hosts that are meant, and report what became of it.

Beside its command, so that the other commands of `mutations` do not import an HTTP client.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.control import ask
from rensei_daemon.cli.follow_mutations import Asked, Outcome
from rensei_daemon.cli.operator_access import OperatorAccess, operator_access
from rensei_daemon.cli.printing import print_json
from rensei_daemon.cli.rollout import Request, Rollout
from rensei_daemon.cli.target_hosts import Targets, targets_of
from rensei_daemon.cli.terminal import clean
from rensei_daemon.control_api.schema import MUTATION
from rensei_daemon.core.history import MutationRecord
from rensei_daemon.core.mutation import ignored_names
from rensei_daemon.core.op_catalog import check_request, complete_params
from rensei_daemon.errors import RenseiError
from rensei_daemon.fast_dataclass import dataclass

MOST_NAMED = 20
"""Hosts that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `mutations enqueue`."""

    hosts: Sequence[str]
    are_all: bool
    limit_to: str | None
    at_once: int
    wait_seconds: float | None
    """None: do not wait."""
    is_checked: bool
    """Whether op and params are checked before anything is sent."""
    as_json: bool


def enqueue(
    op: str, params: Mapping[str, Any], options: Options, config: Path | None
) -> None:
    """Ask each host in turn, and print what became of it.

    Raise UsageError for what cannot be sent, the platform's refusal, or with waiting a
    RenseiError about the first host that has not applied it.
    """
    targets = targets_of(options.hosts, options.are_all, options.limit_to)
    if options.is_checked:
        params = complete_params(op, params)
        check_request(op, params)
        _mention_ignored(op, params)
    asking = operator_access(config)
    request = Request(
        op, params, at_once=options.at_once, wait_seconds=options.wait_seconds
    )
    rollout = Rollout(request, lambda wanted: _own_record(asking, wanted))
    rollout.is_quiet = options.as_json or not targets.are_several
    is_over = False
    try:
        asking.ask(lambda platform: rollout.run(asking, platform, targets))
        is_over = True
    finally:  # who was asked is said also after an interrupt
        _report(rollout, targets, options.as_json, is_over=is_over)
    _conclude(asking, rollout)


def _mention_ignored(op: str, params: Mapping[str, Any]) -> None:
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


def _report(rollout: Rollout, targets: Targets, as_json: bool, *, is_over: bool) -> None:
    """Print who was asked. At the end an error names the host that has not applied it."""
    if as_json and targets.are_several:
        not_asked = [asdict(host) for host in rollout.not_asked]
        hosts = [_for_json(asked) for asked in rollout.asked]
        print_json({"hosts": hosts, "not_asked": not_asked})
    elif as_json and rollout.asked:
        print_json(_for_json(rollout.asked[0]))
    elif targets.are_several and rollout.asked:
        click.echo(_summary(rollout))
    elif rollout.asked and not (is_over and rollout.failed):
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
