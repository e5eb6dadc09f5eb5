"""`status`: whether the daemon is healthy, why not, and what to do."""

from pathlib import Path

import click

from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.show_status import show


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print the daemon's own JSON.")
@click.option("--watch", is_flag=True, help="Ask again every second, until Ctrl-C.")
@config_option
def command(as_json: bool, watch: bool, config: Path | None) -> int:
    """Show the daemon's state, its problems and what to do.

    Exit codes: 0 ok; 1 degraded, starting or stopping; 2 failed, or running but
    silent for 2 s; 3 not running; 77 not permitted.

    \b
    Examples:
      rensei-daemon status
      rensei-daemon status --json | jq .conditions
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    return show(as_json=as_json, watch=watch, config=config)
