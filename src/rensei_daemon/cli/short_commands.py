"""The command lines that are run most often, without the library for all the others.

click takes a fifth of the time of `status` to be imported. Here only these very lines are
recognised; any other, also a wrong one, is click's to parse and to explain.
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
        case _:
            return None


def _status(*, as_json: bool) -> int:
    from rensei_daemon.cli.show_status import show

    return show(as_json=as_json, watch=False, config=None)
