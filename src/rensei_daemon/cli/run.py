"""`run`: be the daemon, until told to stop.

Its two options are read with the standard library, which is in memory anyway: the
library of the other commands would stay there for the daemon's whole life.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import anyio

from rensei_daemon.cli import PROGRAM
from rensei_daemon.daemon import run
from rensei_daemon.errors import RenseiError, UsageError
from rensei_daemon.locations import Locations, locate
from rensei_daemon.process import harden, make_room, stay_small

SUMMARY = "Run the daemon in the foreground, as its systemd unit does."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see: {PROGRAM} run --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{PROGRAM} run",
        description=SUMMARY,
        epilog=f"Example: {PROGRAM} run --config ./config.toml",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="PATH", help="the daemon's configuration file"
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="log from this level on, whatever the file says",
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the daemon; `words` are what stands behind `run`. Raises what ended it."""
    options = _parser().parse_args(list(words))
    harden()
    stay_small()
    make_room()
    overrides = {"log": {"level": options.log_level}} if options.log_level else {}
    locations = locate(environ=os.environ, uid=os.geteuid(), config=options.config)
    try:
        anyio.run(_run, locations, overrides)
    except* RenseiError as errors:
        raise _first(errors) from None


async def _run(locations: Locations, overrides: Mapping[str, object]) -> None:
    await run(locations, environ=os.environ, overrides=overrides)


def _first(errors: BaseExceptionGroup[RenseiError]) -> RenseiError:
    """Return one of the errors that ended the daemon; a shell wants one exit code."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, RenseiError)  # noqa: S101 - the group holds nothing else
    return first
