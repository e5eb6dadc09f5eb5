"""Shell completion: where the scripts are installed, and words only the daemon knows.

The scripts in `packaging/completions` run this program, whose click library returns the
possible words at the cursor. A shell waits for them between two key strokes, so each
completion here answers at once or not at all, and a failure completes nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from rensei_daemon.core.escaping import escape_line, is_visible
from rensei_daemon.errors import RenseiError

if TYPE_CHECKING:  # every command imports this module, and none of them needs these
    from click.shell_completion import CompletionItem

    from rensei_daemon.control_api.schema import Endpoint

_T = TypeVar("_T")

SCRIPTS = {
    "bash": "rensei-daemon.bash",
    "zsh": "_rensei-daemon",
    "fish": "rensei-daemon.fish",
}
"""The shells, by the file name of their script in `packaging/completions`."""

ASK_SECONDS = 0.5

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def script(shell: str) -> str:
    """Return the completion script of a shell."""
    from rensei_daemon.cli.package_files import package_file

    return package_file(f"completions/{SCRIPTS[shell]}")


def script_places(share: Path) -> dict[str, Path]:
    """Return where each shell looks for its script, below /usr/share or in a home."""
    debian = share / "zsh/vendor-completions"
    zsh = debian if debian.is_dir() else share / "zsh/site-functions"
    return {
        "bash": share / "bash-completion/completions/rensei-daemon",
        "zsh": zsh / SCRIPTS["zsh"],
        "fish": share / "fish/vendor_completions.d" / SCRIPTS["fish"],
    }


def one_of(words: Callable[[], list[str]]) -> Complete:
    """Complete the words that `words` returns."""

    def complete(
        _: click.Context, __: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        return _beginning(incomplete, words())

    return complete


def session_ids(
    context: click.Context, _: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Complete the id of a session of this host."""
    from rensei_daemon.control_api.schema import SESSIONS

    answer = _ask(context, SESSIONS)
    found = answer["sessions"] if answer else []
    return _beginning(incomplete, [session["id"] for session in found])


def mutation_ids(
    context: click.Context, _: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Complete the id of one of the newest mutations of this host, with a description."""
    from rensei_daemon.control_api.schema import MUTATIONS

    newest = _ask(context, MUTATIONS.at({"limit": 50})) or []
    return _beginning(incomplete, [(found["id"], found["op"]) for found in newest])


def command_line(context: click.Context) -> "list[CompletionItem[str]]":
    """Let the shell complete the command line of another program as usual.

    The value of the item says how many words before the cursor it begins.
    """
    from click.shell_completion import CompletionItem

    return [CompletionItem(str(len(context.params.get("argv") or ())), type="command")]


def _ask(context: click.Context, endpoint: "Endpoint[_T]") -> _T | None:
    from rensei_daemon.cli.control import ask, find_daemon

    with suppress(RenseiError):
        return ask(
            find_daemon(context.params.get("config")),
            endpoint,
            timeout_seconds=ASK_SECONDS,
        )
    return None


def _beginning(
    incomplete: str, words: list[str] | list[tuple[str, str]]
) -> "list[CompletionItem[str]]":
    from click.shell_completion import CompletionItem

    pairs = [(word, None) if isinstance(word, str) else word for word in words]
    return [
        CompletionItem(word, help=about and escape_line(about))
        for word, about in pairs
        if word.startswith(incomplete) and is_visible(word)
    ]
