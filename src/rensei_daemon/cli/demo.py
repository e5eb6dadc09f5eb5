"""`demo`: the main job before your eyes, on paths that vanish with it."""

import difflib
import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from rensei_daemon.cli.demo_lab import HOST, Lab, Worker, open_lab, open_worker
from rensei_daemon.cli.demo_platform import command_line, require_platform
from rensei_daemon.cli.status_screen import render
from rensei_daemon.cli.terminal import Style, Terminal, measure, paint

CHANGES: list[tuple[str, dict[str, object], str]] = [
    (
        "project.add",
        {"id": "web", "repository": "https://github.com/acme/web"},
        "a new project",
    ),
    (
        "project.add",
        {"id": "payments", "repository": "https://github.com/acme/ledger"},
        "a second repository for one that is there",
    ),
    ("project.disable", {"id": "web"}, "stop it here, keep its entry"),
    ("project.enable", {"id": "web"}, "and let it run again"),
    ("project.remove", {"id": "legacy"}, "gone, with its own comment"),
    (
        "modelAccess.set",
        {"policy": {"matrix": {"anthropic": {"byok": {"allowed": False}}}}},
        "no own keys on this host",
    ),
    (
        "modelAccess.set",
        {
            "workload": "kg-extraction",
            "policy": {
                "authOrder": ["byok", "metered"],
                "matrix": {
                    "anthropic": {
                        "byok": {"allowed": True, "host": "vertex", "model": "claude-haiku"}
                    }
                },
            },
        },
        "but for one workload",
    ),
    (
        "modelAccess.set",
        {"workload": "knitting", "policy": {}},
        "invalid: it must fail with a reason",
    ),
    ("modelAccess.clear", {"workload": "kg-extraction"}, "its own policy goes again"),
    (
        "pool.deleted",
        {"poolId": "pool_a", "candidatePoolIds": ["pool_b"], "reason": "moved to eu-west"},
        "its capacity pool is gone",
    ),
]

TO_TRY = (
    "{program} status --watch",
    "{program} logs -f",
    "{program} mutations enqueue project.add id=docs repository=https://github.com/acme/docs",
    "{program} mutations list",
    "{program} credentials rotate github",
    "{program} exec -- sh -c 'echo $GITHUB_TOKEN'",
    "$EDITOR {config}      # and see it taken up within 2 s",
    "{platform} host show --url {url} --key-file {key_file} {host_id}",
)
"""Lines for a shell in which RENSEI_DAEMON_CONFIG is set."""
CHECK_SECONDS = 0.2


@click.command("demo")
@click.option("--keep", is_flag=True, help="Stay up afterwards, and print what to try.")
def command(keep: bool) -> None:
    """Show the main job: a platform, a daemon and a worker, on temporary paths.

    Example: rensei-daemon demo --keep
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # through every `finally`: nothing stays behind
    require_platform()
    terminal = measure(sys.stdout, os.environ)
    started = time.monotonic()
    say = _Narrator(terminal)
    say.step("A platform and a daemon start, two processes on loopback")
    with open_lab() as lab:
        url = lab.platform.url
        say.line(f"platform at {url}, heartbeats every 0.3 s (30 s in a fleet)")
        say.line(f"daemon registered as {lab.status()['worker_id']} for host {HOST}")
        _change_configuration(lab, say)
        with open_worker(lab) as worker:
            _rotate(lab, worker, say)
            say.step("rensei-daemon status")
            click.echo(
                render(
                    lab.wait_for("the board's turn", lambda: _rotated(lab.status())),
                    width=terminal.width,
                    colour=terminal.colour,
                    now=datetime.now(UTC),
                ),
                nl=False,
            )
            if keep:
                _stay(lab, say)
    seconds = time.monotonic() - started
    say.step(f"Both stopped and every temporary file removed, {seconds:.1f} s in all")


def _leave(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


class _Narrator:
    """Prints each step, so that the output explains itself."""

    def __init__(self, terminal: Terminal) -> None:
        self._colour = terminal.colour

    def step(self, text: str) -> None:
        click.echo("\n" + paint(f"▸ {text}", Style.STRONG, colour=self._colour))

    def line(self, text: str) -> None:
        click.echo(f"  {text}")

    def diff(self, lines: Iterator[str]) -> None:
        styles = {"+": Style.ADDED, "-": Style.REMOVED}
        for line in lines:
            style = styles.get(line[:1])
            text = f"  {line}"
            click.echo(paint(text, style, colour=self._colour) if style else text)


def _change_configuration(lab: Lab, say: _Narrator) -> None:
    say.step("An admin changes the host on the platform; each change rides on a heartbeat")
    before = lab.config.read_text()
    for op, params, why in CHANGES:
        _send(lab, say, op, params, why)
    say.step("What that did to config.toml: nobody's comment is lost")
    say.diff(_difference(before, lab.config.read_text()))

    say.step("The platform calls the host ok again, so [pool] goes as it came")
    before = lab.config.read_text()
    lab.platform.set_host_status(lab.host_id, "ok")
    lab.wait_for("the pool's return", lambda: "[pool]" not in lab.config.read_text())
    say.diff(_difference(before, lab.config.read_text()))


def _send(lab: Lab, say: _Narrator, op: str, params: dict[str, object], why: str) -> None:
    started = time.monotonic()
    mutation_id = lab.platform.enqueue(lab.host_id, op, params)
    outcome = lab.wait_for(
        f"the outcome of {op}", lambda: lab.platform.outcome(lab.host_id, mutation_id)
    )
    seconds = time.monotonic() - started
    told = "applied" if outcome == "applied" else "failed "
    say.line(f"{op:16} {told} and acked in {seconds:3.1f} s   {why}")
    if outcome != "applied":
        say.line(f"{'':16} {outcome.partition(' (known')[0]}")


def _difference(before: str, after: str) -> Iterator[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return (line for line in lines if not line.startswith(("---", "+++")))


def _rotate(lab: Lab, worker: Worker, say: _Narrator) -> None:
    say.step("A worker runs with the session's credential; the platform rotates it")
    _, token = lab.wait_for("the worker's first values", worker.next_report)
    say.line(f"worker {worker.pid} holds GITHUB_TOKEN {_masked(token)}")
    lab.platform.set_credential("github", "GITHUB_TOKEN", f"ghp_{secrets.token_hex(18)}")
    started = time.monotonic()
    lab.platform.rotate("github")
    told_at, token = lab.wait_for("the worker's new values", worker.next_report)
    milliseconds = (told_at - started) * 1000
    say.line(f"worker {worker.pid} holds GITHUB_TOKEN {_masked(token)}")
    say.line(f"told {milliseconds:.0f} ms after the platform was asked; never restarted")
    env_file = lab.folder / "run" / "build.env"
    lab.wait_for("the env file's turn", lambda: token in env_file.read_text())
    say.line(f"{env_file.name} holds it too, mode {env_file.stat().st_mode & 0o777:04o}")


def _rotated(status: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first status with the rotation; values are delivered before it."""
    (session,) = status["sessions"]
    return status if session["generation"] > 1 else None


def _masked(token: str) -> str:
    return f"{token[:4]}…{token[-4:]}"


def _stay(lab: Lab, say: _Narrator) -> None:
    say.step("Staying up; Ctrl-C ends it. Try, in another terminal:")
    program = shlex.quote(str(Path(sys.argv[0]).absolute()))
    say.line(f"export RENSEI_DAEMON_CONFIG={lab.config}")
    for line in TO_TRY:
        words = {"program": program, "platform": shlex.join(command_line())}
        words |= {
            "config": str(lab.config),
            "url": lab.platform.url,
            "host_id": lab.host_id,
        }
        say.line(line.format(**words, key_file=lab.key_file))
    sys.stdout.flush()
    try:
        while True:
            for process in lab.children:
                process.check()
            time.sleep(CHECK_SECONDS)
    except KeyboardInterrupt:
        click.echo()
