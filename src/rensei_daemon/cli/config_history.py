"""`config history|diff|rollback|blame`: how the file was changed, and by whom.

The commands only read, except `rollback`, which the daemon carries out.
"""

from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.config_file import read_config
from rensei_daemon.cli.control import find_daemon, send_command
from rensei_daemon.cli.journal_reader import edit_lines, read_records, show_diff
from rensei_daemon.cli.options import WholeNumber, config_option
from rensei_daemon.cli.printing import (
    Moment,
    Value,
    json_option,
    limit_option,
    print_json,
    print_table,
    utc_option,
)
from rensei_daemon.cli.progress import waiting_for
from rensei_daemon.cli.terminal import clean, clean_lines
from rensei_daemon.control_api.schema import BLAME, CHANGE, CHANGES, ROLLBACK
from rensei_daemon.core.history import (
    BlameRecord,
    ChangeDetail,
    ChangeRecord,
    blame,
    no_change,
    unified,
)
from rensei_daemon.core.table import Column
from rensei_daemon.disk.journal_records import JournalRecords
from rensei_daemon.locations import Locations

ROLLBACK_SECONDS = 60.0

_HISTORY = (
    *(Column("CHANGE"), Column("WHEN"), Column("CAUSE"), Column("BY", is_flexible=True)),
    *(Column("MUTATION"), Column("EDITS", is_flexible=True)),
)
_BLAME = (
    *(Column("ENTRY", is_flexible=True), Column("CAUSE"), Column("MUTATION")),
    *(Column("BY", is_flexible=True), Column("WHEN")),
)


@click.command("history")
@config_option
@limit_option
@utc_option
@json_option
def history_command(config: Path | None, limit: int, in_utc: bool, as_json: bool) -> None:
    """List the changes made to the file by mutations and rollbacks, newest first.

    Example: rensei-daemon config history -n 5
    """
    endpoint = CHANGES.at({"limit": limit})
    changes = read_records(find_daemon(config), endpoint, lambda r: r.changes(limit))
    if as_json:
        print_json({"changes": changes})
    elif changes:
        print_table(_HISTORY, [_row(change) for change in changes], in_utc=in_utc)
    else:
        click.echo("no change is on record yet")


def _row(change: ChangeRecord) -> list[Value]:
    edits = "; ".join(edit_lines(change["edits"]))
    who = change["requested_by"] or "rensei-daemon"
    mutation = change["mutation_id"] or "-"
    number = str(change["number"])
    return [number, Moment(change["at"]), change["cause"], who, mutation, edits]


@click.command("diff")
@click.argument("number", type=WholeNumber(min=1), required=False)
@config_option
@json_option
def diff_command(number: int | None, config: Path | None, as_json: bool) -> None:
    """Show what change NUMBER (the newest without one) did to the file's text.

    Example: rensei-daemon config diff 12
    """
    locations = find_daemon(config)
    endpoint = CHANGE.at(number=number or "latest")
    change = read_records(locations, endpoint, lambda records: _change(records, number))
    name = locations.config.name
    if as_json:
        print_json(with_diff(change, name))
    else:
        click.echo(describe_change(change, name), nl=False)


def _change(records: JournalRecords, number: int | None) -> ChangeDetail:
    found = records.change(number)
    if found is None:
        raise no_change(number)
    return found


def with_diff(change: ChangeDetail, name: str) -> dict[str, Any]:
    """Return a change for JSON, with a diff instead of the two texts."""
    shown: dict[str, Any] = dict(change)
    before, after = shown.pop("before"), shown.pop("after")
    known = before is not None and after is not None
    return {**shown, "diff": unified(before, after, name=name) if known else None}


def describe_change(change: ChangeDetail, name: str) -> str:
    """Return who made a change, which values it changed, and how the text changed."""
    cause = clean(change["cause"])
    mutation = f" ({clean(change['mutation_id'])})" if change["mutation_id"] else ""
    who = clean(change["requested_by"] or "rensei-daemon")
    lines = [f"change {change['number']}: {cause}{mutation}, by {who}, {change['at']}"]
    lines += [f"  {clean(line)}" for line in edit_lines(change["edits"])]
    if change["together_with"]:
        others = ", ".join(map(str, change["together_with"]))
        lines.append(f"  the text below also holds what was changed with it: {others}")
    diff = show_diff(change["before"], change["after"], name=name)
    return "\n".join(lines) + f"\n\n{diff}"


@click.command("rollback")
@click.argument("number", type=WholeNumber(min=1))
@click.option("--dry-run", is_flag=True, help="Only show what it would do.")
@config_option
@json_option
def rollback_command(
    number: int, dry_run: bool, config: Path | None, as_json: bool
) -> None:
    """Undo change NUMBER on today's text, through the daemon, as a change of its own.

    Refused, with the difference, when today's values are no longer what it wrote.

    Example: rensei-daemon config rollback 12 --dry-run
    """
    locations = find_daemon(config)
    body = {"change": number, "dry_run": dry_run}
    with waiting_for("the daemon"):
        answer = send_command(locations, ROLLBACK, body, timeout_seconds=ROLLBACK_SECONDS)
    diff = unified(answer["before"], answer["after"], name=locations.config.name)
    if as_json:
        print_json({"change": number, "dry_run": dry_run, "diff": diff})
        return
    click.echo(clean_lines(diff), nl=False)
    click.echo(
        f"change {number} would be rolled back"
        if dry_run
        else f"change {number} is rolled back"
    )


@click.command("blame")
@config_option
@utc_option
@json_option
def blame_command(config: Path | None, in_utc: bool, as_json: bool) -> None:
    """Say who last wrote each entry of [projects], [pool] and [model_access].

    Example: rensei-daemon config blame
    """
    locations = find_daemon(config)
    found = read_records(locations, BLAME, lambda records: _blame(records, locations))
    if as_json:
        print_json({"entries": found})
    elif found:
        print_table(_BLAME, [_blamed(entry) for entry in found], in_utc=in_utc)
    else:
        click.echo("the file has no project, pool or model-access policy")


def _blame(records: JournalRecords, locations: Locations) -> list[BlameRecord]:
    from rensei_daemon.settings.texts import parse

    text = read_config(locations.config)
    return blame(parse(text, path=locations.config), records.changes_for_blame())


def _blamed(entry: BlameRecord) -> list[Value]:
    if entry["change"] is None:
        return [entry["path"], "by hand", "", "", ""]
    return [
        entry["path"],
        entry["cause"] or "",
        entry["mutation_id"] or "-",
        entry["requested_by"] or "rensei-daemon",
        Moment(entry["at"]),
    ]


COMMANDS = (history_command, diff_command, rollback_command, blame_command)
