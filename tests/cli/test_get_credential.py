"""`credentials get`: one value to a pipe, and to nobody else."""

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio.to_thread
from deadlines import HANG_SECONDS

if TYPE_CHECKING:
    from cli.conftest import Host

GET = ("credentials", "get", "--config={config}")


async def test_a_pipe_gets_the_value_as_it_is(host: "Host") -> None:
    """Without a line end of ours, so that a file of it is the value."""
    host.add("build")
    async with host.up():
        await host.rotate("build", KEY="line\nh\u00e9 \n", OTHER="x")
        assert await host.run(*GET, "KEY") == (0, "line\nh\u00e9 \n", "")
        code, out, _ = await host.run(*GET, "KEY", "--session", "build", "--json")
    assert (code, json.loads(out)) == (0, {"name": "KEY", "value": "line\nh\u00e9 \n"})


async def test_what_is_not_there_has_a_code(host: "Host") -> None:
    """A name, a session; values of other names are not said."""
    host.add("build")
    async with host.up():
        await host.rotate("build", OTHER="canary")
        code, out, err = await host.run(*GET, "GONE")
        said, hint = err.splitlines()
        assert (code, out, said) == (1, "", "rensei-daemon: session build has no GONE")
        assert hint.startswith("  see the names: rensei-daemon credentials list")
        assert (await host.run(*GET, "X", "--session", "no"))[0] == 64


def _on_terminal(host: "Host", *words: str) -> tuple[int, str]:
    """Run it with its output on a terminal: exit code and what is shown there."""
    argv = [word.replace("{config}", str(host.config)) for word in (*GET, *words)]
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rensei_daemon", *argv],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            timeout=HANG_SECONDS,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )
        os.write(theirs, b"end")
        return done.returncode, os.read(ours, 4096).decode().removesuffix("end")
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_terminal_is_refused_unless_it_is_asked_for(host: "Host") -> None:
    """A value on a screen stays in what the terminal remembers."""
    host.add("build")
    async with host.up():
        await host.rotate("build", KEY="canary")
        for words, answer in (
            (("KEY",), (64, "")),
            (("KEY", "--json"), (64, "")),
            (("KEY", "--reveal"), (0, "canary\r\n")),
        ):
            run = await anyio.to_thread.run_sync(_on_terminal, host, *words)
            assert run == answer
