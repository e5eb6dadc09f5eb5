"""Command lines that are run without the library that parses all others."""

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rensei_daemon.cli.short_commands import short_command

if TYPE_CHECKING:
    from cli.conftest import Host

SRC = Path(__file__).parents[2] / "src"
LIGHT = f"""
import sys
sys.path += {[str(SRC), sysconfig.get_path("purelib")]!r}
import rensei_daemon.__main__, rensei_daemon.cli.MODULE
print(*sys.modules)
"""
HEAVY = {"asyncio", "click", "dataclasses", "inspect", "sqlite3", "ssl"}
BESIDE_A_CHECK = HEAVY | {"pydantic", "rensei_daemon.core.document_editing"}
FOR_SUPERVISORS = {"ctypes", "random", "rensei_daemon.cli.supervisor", "threading"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("show_status", HEAVY),
        ("start_worker", HEAVY | FOR_SUPERVISORS),
        ("check_config", BESIDE_A_CHECK),
    ],
)
def test_a_short_command_stays_light(module: str, heavy: set[str]) -> None:
    """It imports no library, and nothing large, or it would take twice as long."""
    code = LIGHT.replace("MODULE", module)
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, check=True)
    assert set(done.stdout.decode().split()) & heavy == set()


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "status --json",
        "exec -- ./worker",
        "exec -- ./worker --help -- --json",
        "exec -- --help",
        "exec --session build -- ./worker",
        "config check",
        "config check new.toml",
        "config check -",
    ],
)
def test_a_line_that_is_run_often_is_short(line: str) -> None:
    """It is recognised as it stands."""
    assert short_command(line.split()) is not None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "status --help",
        "status --jso",
        "exec",
        "exec --",
        "exec --help",
        "exec --help -- ./worker",
        "exec --session -- ./worker",
        "exec --session a --session b -- ./worker",
        "exec --on-rotate restart -- ./worker",
        "--debug exec -- ./worker",
        "config check --json",
        "config check -- -",
        "config check a.toml b.toml",
    ],
)
def test_any_other_line_is_parsed(line: str) -> None:
    """Help, mistakes and options are the library's."""
    assert short_command(line.split()) is None


@pytest.mark.parametrize(
    ("session_id", "argv"),
    [
        ("build", ["env"]),
        ("build", ["sh", "-c", "exit 7"]),
        ("build", ["no-such-program"]),
        ("build", ["/etc/passwd", "--", "--help"]),
        ("other", ["env"]),
        ("", ["env"]),
    ],
)
async def test_a_short_line_does_what_a_parsed_one_does(
    host: "Host", session_id: str, argv: Sequence[str]
) -> None:
    """The worker, the exit code and every error are the same."""
    host.add("build")
    env = {"RENSEI_DAEMON_CONFIG": str(host.config)}
    async with host.up():
        await host.rotate("build", TOKEN="1")
        short = ["exec", "--session", session_id, "--", *argv]
        assert short_command(short) is not None
        parsed = ["exec", f"--session={session_id}", "--", *argv]
        assert short_command(parsed) is None
        assert await host.run(*short, env=env) == await host.run(*parsed, env=env)


@pytest.mark.parametrize("text", ["[projects]\n", "unknown = {}\n", "", None])
async def test_a_short_check_says_what_a_parsed_one_does(
    host: "Host", text: str | None
) -> None:
    """A good file, a bad one, an empty one, and none."""
    env = {"RENSEI_DAEMON_CONFIG": str(host.config)}
    file = host.runtime / "new.toml"
    if text is not None:
        file.write_text(text)
    short, parsed = ["config", "check", str(file)], ["config", "check", "--", str(file)]
    assert short_command(short) is not None
    assert short_command(parsed) is None
    assert await host.run(*short, env=env) == await host.run(*parsed, env=env)


async def test_without_a_session_it_is_the_only_one(host: "Host") -> None:
    """A short line without a name asks the daemon which one it may use."""
    host.add("build")
    env = {"RENSEI_DAEMON_CONFIG": str(host.config)}
    async with host.up():
        await host.rotate("build", TOKEN="1")
        code, out, err = await host.run("exec", "--", "sh", "-c", "echo $TOKEN", env=env)
    assert (code, out, err) == (0, "1\n", "")
