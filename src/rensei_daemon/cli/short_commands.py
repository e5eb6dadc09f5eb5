"""The command lines that are run most often, without the library for all the others.

click takes a fifth of the time of these commands to be imported. Here only these very
lines are recognised; any other, also a wrong one, is click's to parse and to explain.
"""

from collections.abc import Callable, Sequence

ShortCommand = Callable[[], int]


def short_command(arguments: Sequence[str]) -> ShortCommand | None:
    """Return the command of a line that needs no parsing, or None."""
    match arguments:
        case ["status"]:
            return lambda: _status(as_json=False)
        case ["status", "--json"]:
            return lambda: _status(as_json=True)
        case ["exec", "--", _, *_]:
            return lambda: _exec(arguments[2:])
        case ["exec", "--session", session_id, "--", _, *_]:
            return lambda: _exec(arguments[4:], session_id)
        case ["config", "check"]:
            return _check
        case ["config", "check", file] if file == "-" or file[:1] != "-":
            return lambda: _check(file)
        case _:
            return None


def _status(*, as_json: bool) -> int:
    from rensei_daemon.cli.show_status import show

    return show(as_json=as_json, watch=False, config=None)


def _exec(argv: Sequence[str], *session_ids: str) -> int:
    from rensei_daemon.cli.start_worker import Worker, start_worker

    return start_worker(Worker(argv=argv, session_ids=session_ids))


def _check(file: str | None = None) -> int:
    from rensei_daemon.trimmed_imports import trim_imports

    trim_imports()
    from pathlib import Path

    from rensei_daemon.cli.check_config import check

    return check(None, None if file is None else Path(file), as_json=False)
