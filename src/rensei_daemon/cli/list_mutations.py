"""`mutations list`: this host's own record, or the platform's list of a host."""

import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.journal_reader import read_records
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import (
    Moment,
    Value,
    json_option,
    limit_option,
    outcome,
    print_json,
    print_table,
    utc_option,
)
from rensei_daemon.cli.terminal import clean, measure
from rensei_daemon.control_api.schema import MUTATIONS
from rensei_daemon.core.history import MutationRecord
from rensei_daemon.core.table import Column
from rensei_daemon.errors import TransientError, UsageError

if TYPE_CHECKING:  # the record here is listed without what a request needs
    from rensei_daemon.platform_api.operator_client import RemoteMutation

WATCH_SECONDS = 2.0

_TITLES = (
    *(Column("ID"), Column("OP"), Column("OUTCOME"), Column("BY", is_flexible=True)),
    *(Column("WHEN"), Column("REASON", is_flexible=True)),
)
_CLEAR = "\x1b[H\x1b[J"


@click.command("list")
@click.option("--remote", is_flag=True, help="The platform's list instead of our record.")
@click.option(
    "--host",
    metavar="NAME",
    help="With --remote: a host by name or id, instead of this one.",
)
@limit_option
@click.option(
    "--before", metavar="ID", default="", help="Only what came before this mutation."
)
@click.option("--watch", is_flag=True, help="Show it every two seconds, until interrupted.")
@utc_option
@config_option
@json_option
def list_command(
    remote: bool,
    host: str | None,
    limit: int,
    before: str,
    watch: bool,
    in_utc: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """List the mutations that came to this host, newest first.

    With --remote: what the platform asked of a host, and what became of it.

    Example: rensei-daemon mutations list --remote --host build-07 --watch
    """
    if remote and before:
        raise UsageError("--before is for the record here; the platform has no such list")
    if host and not remote:
        raise UsageError("--host goes with --remote: the record here is this host's own")
    if not remote:
        _Local(config, limit, before, as_json, in_utc).show(watch)
        return
    _Remote(config, host, limit, as_json, in_utc).show(watch)


class _List:
    """Prints a list once, or again and again."""

    as_json: bool

    def look(self) -> None:
        """Print it as it is now."""
        raise NotImplementedError

    def show(self, watch: bool) -> None:
        """Print it; with `watch` until somebody interrupts it."""
        if watch:
            self._watch()
        self.look()

    def _watch(self) -> NoReturn:
        in_place = measure(sys.stdout, os.environ).is_tty and not self.as_json
        while True:
            if in_place:
                click.echo(_CLEAR, nl=False)
            try:
                self.look()
            except TransientError as error:  # the platform may come back
                click.echo(clean(f"{error}"), err=True)
            time.sleep(WATCH_SECONDS)


class _Local(_List):
    def __init__(
        self, config: Path | None, limit: int, before: str, as_json: bool, in_utc: bool
    ) -> None:
        self._locations = find_daemon(config)
        self._limit, self._before = limit, before
        self.as_json, self._in_utc = as_json, in_utc

    def look(self) -> None:
        limit, before = self._limit, self._before
        endpoint = MUTATIONS.at({"limit": limit, "before": before})
        found = read_records(
            self._locations, endpoint, lambda records: records.mutations(limit, before)
        )
        if self.as_json:
            print_json({"mutations": found})
        elif found:
            print_table(_TITLES, [_row(one) for one in found], in_utc=self._in_utc)
        elif before:
            click.echo(f"no mutation came here before {clean(before)}")
        else:
            click.echo("no mutation has come here yet")


def _row(mutation: MutationRecord) -> list[Value]:
    acked = "" if mutation["acked_at"] else ", not acknowledged yet"
    said = mutation["outcome"]
    stands = outcome(f"{said}{acked}", said) if said else "waiting"
    who, at = mutation["requested_by"] or "-", Moment(mutation["received_at"])
    return [mutation["id"], mutation["op"], stands, who, at, mutation["error"] or ""]


class _Remote(_List):
    def __init__(
        self,
        config: Path | None,
        host: str | None,
        limit: int,
        as_json: bool,
        in_utc: bool,
    ) -> None:
        from rensei_daemon.cli.operator_access import operator_access
        from rensei_daemon.cli.target_hosts import Targets, targets_or_own

        self._asking = operator_access(config)
        self._limit = min(limit, 500)  # the platform's own limit
        self.as_json, self._in_utc = as_json, in_utc
        targets = Targets((host,) if host else ())
        [self._host] = self._asking.ask(
            lambda platform: targets_or_own(self._asking, platform, targets)
        )

    def look(self) -> None:
        found = self._asking.ask(
            lambda platform: platform.list_mutations(self._host.id, limit=self._limit)
        )
        if self.as_json:
            print_json({"mutations": [asdict(mutation) for mutation in found]})
        elif found:
            print_table(_TITLES, [_remote_row(one) for one in found], in_utc=self._in_utc)
        else:
            click.echo(f"the platform has no mutation for {clean(self._host.name)}")


def _remote_row(found: "RemoteMutation") -> list[Value]:
    status = found.status
    if status == "pending" and found.delivered_at:
        status = "delivered"
    if found.cancelled_at:
        status = "cancelled"
    at = found.decided_at or found.cancelled_at or found.delivered_at or found.created_at
    return [
        found.id,
        found.op,
        outcome(status),
        found.requested_by,
        Moment(at),
        found.error,
    ]
