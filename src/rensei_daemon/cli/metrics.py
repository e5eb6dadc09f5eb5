"""`metrics`: the current values of the metrics that a monitoring system collects."""

from pathlib import Path

import click

from rensei_daemon.cli.control import find_daemon, send_command
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.control_api.schema import METRICS, METRICS_JSON

TIMEOUT_SECONDS = 5.0


@click.command("metrics")
@config_option
@json_option
def command(config: Path | None, as_json: bool) -> None:
    """Print the daemon's metrics, as Prometheus would read them.

    They are served over TCP too where [metrics].listen is set.

    Example: rensei-daemon metrics | grep _timestamp_seconds
    """
    locations = find_daemon(config)
    if as_json:
        print_json(send_command(locations, METRICS_JSON, timeout_seconds=TIMEOUT_SECONDS))
    else:
        text = send_command(locations, METRICS, timeout_seconds=TIMEOUT_SECONDS)
        click.echo(text, nl=False)
