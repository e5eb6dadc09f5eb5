"""`rensei-daemon mutations`: what the platform requested, and the outcomes.

`list` and `show` read this host's own record; `list --remote`, `enqueue` and `cancel` send
requests to the platform; `preview` neither sends nor changes anything.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from rensei_daemon.cli.completion import mutation_ids, one_of
from rensei_daemon.cli.config_history import describe_change, with_diff
from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.enqueue_mutation import enqueue_command
from rensei_daemon.cli.journal_reader import read_records
from rensei_daemon.cli.list_mutations import list_command
from rensei_daemon.cli.mutation_ops import ops_command
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.param_arguments import parse_params, read_param_file
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import clean, clean_lines
from rensei_daemon.control_api.schema import MUTATION
from rensei_daemon.core.history import (
    MutationDetail,
    MutationRecord,
    no_mutation,
    unified,
)
from rensei_daemon.core.length_limits import MAX_ID
from rensei_daemon.core.mutation import Op
from rensei_daemon.core.op_catalog import complete_params
from rensei_daemon.disk.journal_records import JournalRecords
from rensei_daemon.errors import MutationError, RenseiError, UsageError

_op_argument = click.argument("op", shell_complete=one_of(lambda: [*Op]))
_id_argument = click.argument("mutation_id", metavar="ID", shell_complete=mutation_ids)
_params_argument = click.argument("params", nargs=-1, metavar="[KEY=VALUE]...")


@click.group("mutations")
def command() -> None:
    """See the mutations of this host, and request others.

    Example: rensei-daemon mutations list
    """


@command.command("show")
@_id_argument
@config_option
@json_option
def show_command(mutation_id: str, config: Path | None, as_json: bool) -> None:
    """Show the whole life of one mutation, and what it did to the file.

    Example: rensei-daemon mutations show dmut_1
    """
    if not 0 < len(mutation_id) <= MAX_ID:
        raise UsageError(
            f"{mutation_id[:MAX_ID]!r} is no id of a mutation",
            hint="see which there are: rensei-daemon mutations list",
        )
    locations = find_daemon(config)
    endpoint = MUTATION.at(id=mutation_id)
    found = read_records(locations, endpoint, lambda r: _mutation(r, mutation_id))
    change, name = found["change"], locations.config.name
    if as_json:
        detail = with_diff(change, name) if change else None
        print_json({**found, "change": detail})
        return
    life = _life(found["mutation"])
    if found["ignored"]:
        life.append(("left out", ", ".join(found["ignored"])))
    rows = [[label, clean(value)] for label, value in life]
    click.echo("".join(f"{label:<10} {value}\n" for label, value in rows), nl=False)
    if change:
        click.echo(f"\n{describe_change(change, name)}", nl=False)


def _mutation(records: JournalRecords, mutation_id: str) -> MutationDetail:
    found = records.mutation(mutation_id)
    if found is None:
        raise no_mutation(mutation_id)
    return found


def _life(mutation: MutationRecord) -> list[tuple[str, str]]:
    params = mutation["params"]
    shown = "(forgotten)" if params is None else json.dumps(params, ensure_ascii=False)
    who = mutation["requested_by"] or "(unknown)"
    life = [
        ("mutation", mutation["id"]),
        ("op", mutation["op"]),
        ("params", shown),
        ("requested", f"{mutation['requested_at'] or '(unknown)'} by {who}"),
        ("received", mutation["received_at"]),
    ]
    if mutation["intended_at"]:
        life.append(("intended", mutation["intended_at"]))
    if mutation["outcome"] == "failed":
        life.append(("failed", f"{mutation['decided_at']}: {mutation['error']}"))
    elif mutation["outcome"]:
        nothing = "" if mutation["change"] else ": all of it held already"
        life.append(("applied", f"{mutation['decided_at']}{nothing}"))
    life.append(("acked", mutation["acked_at"] or "not yet"))
    if mutation["came_again_changed"]:
        life.append(("conflict", "it came again with other content, and was ignored"))
    return life


@command.command("preview")
@_op_argument
@_params_argument
@config_option
@json_option
def preview_command(
    op: str, params: tuple[str, ...], config: Path | None, as_json: bool
) -> int:
    """Show what a mutation would do to today's file, or why it would fail (exit 1).

    Nothing is changed, and the platform is not asked. KEY=text, KEY:=json or KEY=@file.

    Example: rensei-daemon mutations preview project.remove id=proj_a
    """
    from rensei_daemon.cli.preview import preview

    locations = find_daemon(config)
    given = complete_params(op, parse_params(params, read_param_file))
    try:
        before, after = preview(locations.config, op, given, now=datetime.now(UTC))
    except MutationError as error:
        if as_json:
            print_json({"op": op, "outcome": "failed", "error": str(error), "diff": None})
            return 1
        raise
    diff = unified(before.text, after.text, name=locations.config.name)
    if as_json:
        print_json({"op": op, "outcome": "applied", "error": None, "diff": diff})
    else:
        click.echo(
            clean_lines(diff) or "nothing would change: all of it holds already\n",
            nl=False,
        )
    return 0


@command.command("cancel")
@_id_argument
@config_option
@json_option
def cancel_command(mutation_id: str, config: Path | None, as_json: bool) -> None:
    """Cancel a mutation that no host has received yet.

    Example: rensei-daemon mutations cancel dmut_1
    """
    from rensei_daemon.cli.operator_access import operator_access

    try:
        operator_access(config).ask(lambda platform: platform.cancel_mutation(mutation_id))
    except RenseiError as error:
        if "already_delivered" in str(error):
            error.hint = "a host has it: undo it with the inverse op"
        raise
    if as_json:
        print_json({"id": mutation_id, "cancelled": True})
    else:
        click.echo(f"{clean(mutation_id)} is cancelled")


command.add_command(list_command)
command.add_command(enqueue_command)
command.add_command(ops_command)
