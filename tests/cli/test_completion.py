"""Completion, as real shells do it: each reads our script and is asked to complete."""

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS
from needs import need

from rensei_daemon.cli.completion import SCRIPTS
from rensei_daemon.cli.root import COMMANDS
from rensei_daemon.control_api.schema import MUTATIONS
from rensei_daemon.control_api.server import serve_control
from rensei_daemon.control_api.wire import Request

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from cli.conftest import Host

BIN = Path(sys.executable).parent
ENVIRON = {"PATH": f"{BIN}:/usr/bin:/bin", "TERM": "dumb"}

Shell = Callable[[str, Path], list[str]]
"""Completes a line in a directory; returns the candidates, or the line as it then is."""

SCRIPT_OF = {
    shell: Path(__file__).parents[2] / "packaging/completions" / name
    for shell, name in SCRIPTS.items()
}
"""Read as a package's users do; that the program prints the same is a test of its own."""

BASH = rf"""
source {SCRIPT_OF["bash"]}
compopt() {{ COMPREPLY+=("compopt $*"); }}
read -r -a COMP_WORDS
if [[ ${{*: -1}} == _ ]]; then COMP_WORDS+=(''); fi
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMPREPLY=()
_rensei_daemon "${{COMP_WORDS[0]}}" "${{COMP_WORDS[COMP_CWORD]}}"
((${{#COMPREPLY[@]}} == 0)) || printf '%s\n' "${{COMPREPLY[@]}}"
"""


def bash(line: str, place: Path, prelude: str = "") -> list[str]:
    """Return bash's candidates; bash splits `--x=y` at the `=`."""
    ends = "_" if line.endswith(" ") else "."
    done = subprocess.run(
        ["bash", "--norc", "-c", prelude + BASH, "bash", ends],
        input=f"{line}\n",
        env=ENVIRON | {"HOME": str(place)},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def fish(line: str, place: Path) -> list[str]:
    """Return fish's candidates, without what it says of them."""
    script = f'source {SCRIPT_OF["fish"]}; complete "--do-complete=$argv[1]"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, line],
        env=ENVIRON | {"HOME": str(place)},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return [found.split("\t")[0] for found in done.stdout.splitlines()]


@contextmanager
def terminal(place: Path, *argv: str) -> Iterator[int]:
    """Run a program on a terminal of its own; yield our end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=place,
        env=ENVIRON | {"HOME": str(place)},
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def read_until(end: int, pattern: bytes) -> bytes:
    """Return the first group of a pattern, once it has been shown."""
    shown = b""
    while not (found := re.search(pattern, shown)):
        assert select.select([end], [], [], HANG_SECONDS)[0], shown
        shown += os.read(end, 4096)
    return found[1]


ZSH = rf"""
KEYTIMEOUT=1; autoload -Uz compinit && compinit -u -C -d ../zcompdump
source {SCRIPT_OF["zsh"]}
show() {{ print -r -- "${{:-<}}$BUFFER>" >&2; BUFFER= }}; zle -N show; bindkey '^X' show
print rea""dy
"""


def zsh(line: str, place: Path) -> list[str]:
    """Return the line as a tab makes it; zsh completes nowhere but at a prompt.

    The first one writes down what there is to complete, beside its directory; the others
    only read it, in a tenth of the time.
    """
    with terminal(place, "zsh", "-f", "-i") as end:
        os.write(end, ZSH.strip().replace("\n", "; ").encode() + b"\n")
        read_until(end, rb"(ready)\r\n")
        os.write(end, line.encode() + b"\t\x18")
        return [read_until(end, rb"<([^<>]*)>\r\n").decode().rstrip(" ")]


@pytest.fixture(params=[bash, zsh, fish], ids=lambda shell: shell.__name__)
def shell(request: pytest.FixtureRequest) -> Shell:
    """Take each shell in turn."""
    complete: Shell = request.param
    need(complete.__name__)
    return complete


def last_words(found: list[str]) -> list[str]:
    """Keep of whole lines only their last words."""
    return [re.split("[ =]", line)[-1] for line in found]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("rensei-daemon sta", "status"),
        (f"{BIN}/rensei-daemon sta", "status"),
        ("rensei-daemon --comp", "--completion"),
        ("rensei-daemon run --conf", "--config"),
        ("rensei-daemon run --log-level deb", "debug"),
        ("rensei-daemon run --config not", "notes.toml"),
        ("rensei-daemon config check not", "notes.toml"),
        ("rensei-daemon mutations enqueue project.a", "project.add"),
        ("rensei-daemon access check --auth-mode host", "host-session"),
        ("rensei-daemon exec --on-rotate USR1", "USR1"),
    ],
)
def test_a_word_is_completed(shell: Shell, tmp_path: Path, line: str, word: str) -> None:
    """Commands, options, choices and files, also when the program is named by a path."""
    (tmp_path / "notes.toml").touch()
    found = last_words(shell(line, tmp_path))
    if shell is bash and word == "notes.toml":
        word = "default"  # bash is told to complete files by itself
    assert found == [word]


def test_a_value_behind_an_equals_sign_is_completed(shell: Shell, tmp_path: Path) -> None:
    """Each shell cuts `--option=value` in its own way."""
    line = "rensei-daemon logs --level=warn"
    if shell is bash:
        line = line.replace("=", " = ")
    assert last_words(shell(line, tmp_path)) == ["warning"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("rensei-daemon exec -- rensei-daem", "rensei-daemon"),
        ("rensei-daemon exec --wait 3 rensei-daem", "rensei-daemon"),
        ("rensei-daemon exec -- rensei-daemon sta", "status"),
        ("rensei-daemon exec --wait 3 rensei-daemon --comp", "--completion"),
    ],
)
def test_the_command_behind_exec_is_completed_as_ever(
    shell: Shell, tmp_path: Path, line: str, word: str
) -> None:
    """The words after `exec` are the command line of another program."""
    if shell is bash and not line.endswith("daem"):
        # What bash-completion offers for this, as far as it matters here.
        prelude = "_command_offset() { COMPREPLY=(at $1); };"
        place = str(line.split(" ").index("rensei-daemon", 1))
        assert bash(line, tmp_path, prelude) == ["at", place]
        return
    assert set(last_words(shell(line, tmp_path))) == {word}


def test_bash_knows_every_command_in_our_order(tmp_path: Path) -> None:
    """The order of the help says what is used most."""
    assert bash("rensei-daemon ", tmp_path) == list(COMMANDS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_is_printed(name: str) -> None:
    """It is the very file that packages install."""
    done = subprocess.run(
        [BIN / "rensei-daemon", "--completion", name],
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(__file__).parents[2] / "packaging/completions"
    assert done.stdout == (folder / SCRIPTS[name]).read_text()


async def test_sessions_are_known_from_the_daemon(host: "Host") -> None:
    """Ids come from the daemon of the config that is named; without one there are none."""
    line = f"rensei-daemon credentials wait --config {host.config} --session n"
    host.add("nightly")
    host.add("build")
    async with host.up():
        found = await anyio.to_thread.run_sync(bash, line, host.config.parent)
    assert found == ["nightly"]
    assert bash(line, host.config.parent) == []


async def test_mutations_are_known_from_the_daemon(host: "Host") -> None:
    """The newest ones are offered, by their ids."""

    async def answer(_: Request) -> list[dict[str, str]]:
        return [{"id": f"dmut_{n}", "op": "project.add"} for n in (2, 1)]

    line = f"rensei-daemon mutations show --config {host.config} dmut"
    async with anyio.create_task_group() as tasks:
        socket = host.runtime / "control.sock"
        await tasks.start(serve_control, socket, {MUTATIONS: answer})
        found = await anyio.to_thread.run_sync(bash, line, host.config.parent)
        tasks.cancel_scope.cancel()
    assert found == ["dmut_2", "dmut_1"]
