"""`doctor`: does the checks a person would do by hand, with evidence and a fix."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from rensei_daemon import __version__
from rensei_daemon.cli.control import locate_daemon
from rensei_daemon.cli.daemon_address import daemon_at
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.progress import waiting_for
from rensei_daemon.cli.terminal import Style, clean, measure, paint, tolerate, wrap
from rensei_daemon.core.status import plain
from rensei_daemon.doctor.bundle import gather_texts, write_bundle
from rensei_daemon.doctor.context import DoctorContext, open_context
from rensei_daemon.doctor.result import CheckResult, Verdict, worst
from rensei_daemon.doctor.run_checks import CHECKS, run_checks
from rensei_daemon.doctor.secrets import gather_secrets
from rensei_daemon.errors import NotPermittedError
from rensei_daemon.fast_dataclass import replace

_STYLES = {Verdict.PASS: Style.GOOD, Verdict.WARN: Style.WATCH, Verdict.FAIL: Style.BAD}
_MARGIN = 20
"""Columns before the evidence: the verdict and the longest code."""


@click.command("doctor")
@json_option
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what support needs into an archive (.tar.gz) that holds no secret.",
)
@click.option(
    "--yes",
    "is_agreed",
    is_flag=True,
    help="A session's value that stands in the configuration too is no secret.",
)
@config_option
def command(
    as_json: bool, bundle: Path | None, is_agreed: bool, config: Path | None
) -> None:
    """Check the daemon, its host and its path to the platform; say how to fix what fails.

    Nothing is changed, here or at the platform. It takes at most 15 s, and works while
    the daemon is down or its configuration broken. With sudo it sees most.

    \b
    Exit codes: 0 every check passed or warned; 1 one failed.

    \b
    Examples:
      sudo rensei-daemon doctor
      sudo rensei-daemon doctor --bundle help.tar.gz
      rensei-daemon doctor --json | jq '.checks[] | select(.verdict != "pass")'
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    tolerate(sys.stdout)
    case = open_context(locate_daemon(config), os.environ)
    reached = daemon_at(case.locations)
    with waiting_for("the checks"):
        results = run_checks(case, CHECKS)
    findings = [replace(found, fix=reached.hint(found.fix)) for found in results]
    report = to_json(findings, datetime.now(UTC))
    if as_json:
        print_json(report)
    else:
        terminal = measure(sys.stdout, os.environ)
        click.echo(render(findings, width=terminal.width, colour=terminal.colour), nl=False)
    if bundle is not None:
        sys.stdout.flush()
        _write_bundle(bundle, case, report, is_agreed=is_agreed)
    sys.stdout.flush()
    # Do not return: the interpreter would wait for the thread of a check that hangs.
    os._exit(int(worst(findings) is Verdict.FAIL))


def _write_bundle(
    path: Path, case: DoctorContext, report: Mapping[str, Any], *, is_agreed: bool
) -> None:
    try:
        secrets = gather_secrets(case)
    except PermissionError as error:
        raise NotPermittedError(
            f"{error.filename} cannot be read: permission denied; "
            "the bundle cannot be checked for its secret",
            hint="run it with sudo",
        ) from error
    texts = gather_texts(case, report)
    for name, line in list(secrets.also_in(texts.get("config.toml", ""))):
        where = f"{name} also stands in {case.locations.config}, line {line}"
        if is_agreed or _is_no_secret(where):
            secrets.forget([name])
    write_bundle(path, texts, secrets)
    click.echo(
        f"{path} written: no known secret found in it; review it before sending", err=True
    )


def _is_no_secret(where: str) -> bool:
    """Ask a person, if there is one; a script passes `--yes`."""
    if not sys.stdin.isatty():
        click.echo(f"{where}: if it is no secret, say --yes", err=True)
        return False
    return click.confirm(
        f"{where}. Is it no secret, and may it be in the bundle?", err=True
    )


def to_json(findings: Sequence[CheckResult], now: datetime) -> dict[str, Any]:
    """Return the results as JSON."""
    return {
        "verdict": worst(findings),
        "version": __version__,
        "checked_at": plain(now),
        "checks": plain(findings),
    }


def render(findings: Sequence[CheckResult], *, width: int, colour: bool) -> str:
    """Return the results as text: evidence in lines below each other, fixes marked."""
    lines = [line for found in findings for line in _finding(found, width, colour)]
    counts = Counter(found.verdict for found in findings)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    return "\n".join([*lines, "", f"{len(findings)} checks: {summary}"]) + "\n"


def _finding(found: CheckResult, width: int, colour: bool) -> list[str]:
    margin = " " * _MARGIN
    mark = paint(f"{found.verdict:<4}", _STYLES[found.verdict], colour=colour)
    first, *rest = found.evidence.splitlines() or [""]
    # The colour of the mark has no width, so the line is wrapped without it.
    head = wrap(
        clean(first), width - 5, first=f"{found.code:<{_MARGIN - 5}}", rest=margin[5:]
    )
    lines = [f"{mark} {head.splitlines()[0]}"]
    lines += [f"     {line}" for line in head.splitlines()[1:]]
    lines += [wrap(clean(line), width, first=margin, rest=margin) for line in rest]
    if found.fix:
        fix_margin = f"{margin}  "
        lines.append(wrap(clean(found.fix), width, first=f"{margin}→ ", rest=fix_margin))
    return lines
