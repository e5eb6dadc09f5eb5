"""`run`: run the daemon until it is told to stop.

Its options are parsed with the standard library: click would stay in memory for the
daemon's whole life. click only knows them (`cli.root`) for help and completion. Without
options, as a unit starts it, even that library's parser is not imported: 0.3 MB.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from rensei_daemon.cli import PROGRAM
from rensei_daemon.errors import RenseiError, UsageError
from rensei_daemon.init_process import fork_under_init
from rensei_daemon.locations import Locations, locate

if TYPE_CHECKING:
    from rensei_daemon.settings.fitting import FittingValidator

HELP = f"""Run the daemon in the foreground, as its systemd unit does.

Example: {PROGRAM} run --config ./config.toml
"""


class RunOption(NamedTuple):
    """An option of `run`, for either library."""

    name: str
    help: str
    metavar: str | None = None
    choices: Sequence[str] | None = None


OPTIONS = (
    RunOption("--config", "The daemon's configuration file.", metavar="PATH"),
    RunOption(
        "--log-level",
        "Log from this level on, whatever the file says.",
        choices=("debug", "info", "warning", "error"),
    ),
)


def main(words: Sequence[str]) -> None:
    """Run the daemon; `words` are the arguments of `run`. Raises what ended it."""
    start(**_parsed(words) if words else {})


def _parsed(words: Sequence[str]) -> dict[str, str | None]:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise UsageError(message, hint=f"see: {PROGRAM} run --help")

    parser = Parser(prog=f"{PROGRAM} run", add_help=False, allow_abbrev=False)
    for name, about, metavar, choices in OPTIONS:
        parser.add_argument(name, help=about, metavar=metavar, choices=choices)
    return vars(parser.parse_args(list(words)))


def start(config: str | None = None, log_level: str | None = None) -> None:
    """Run the daemon with these options. Raises what ended it."""
    _prepare_process()
    locations = locate(
        environ=os.environ, uid=os.geteuid(), config=Path(config) if config else None
    )
    # Imported here, so that help and completion do not wait for the whole daemon.
    import anyio

    from rensei_daemon.daemon import run
    from rensei_daemon.exit_deadline import ExitDeadline

    known: BaseExceptionGroup[RenseiError] | None = None
    deadline = ExitDeadline()
    validator = _validator(locations, log_level)

    async def run_to_the_end() -> None:
        await run(
            locations, environ=os.environ, validator=validator, on_stop=deadline.start
        )
        deadline.finish()  # only threads are left: anyio.run waits for them

    try:
        anyio.run(run_to_the_end)
    except* RenseiError as errors:
        known = errors  # Python 3.11 to 3.11.3 wrap what is raised in here in a group
    if known is not None:
        raise _first(known)


def _validator(locations: Locations, log_level: str | None) -> "FittingValidator":
    from rensei_daemon.settings.fitting import FittingValidator
    from rensei_daemon.settings.sources import Sources
    from rensei_daemon.validation_process import ValidationProcess

    sources = Sources(
        path=locations.config,
        runtime=locations.runtime,
        state=locations.state,
        environ=os.environ,
        overrides={"log": {"level": log_level}} if log_level else {},
    )
    return FittingValidator(sources, ValidationProcess(sources))


def _prepare_process() -> None:
    from rensei_daemon.process import (
        harden,
        let_the_loop_interrupt,
        pause_garbage_collection,
        raise_nofile_limit,
        share_one_heap,
    )

    harden()
    fork_under_init(os.getpid())  # while PID 1 has not loaded the whole daemon
    pause_garbage_collection()  # until the daemon is ready
    share_one_heap()
    let_the_loop_interrupt()
    raise_nofile_limit()


def _first(errors: BaseExceptionGroup[RenseiError]) -> RenseiError:
    """Return one of the errors that ended the daemon; a shell needs one exit code."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, RenseiError)  # noqa: S101 - the group holds nothing else
    return first
