"""`rensei-daemon logs`, as the shell sees it."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "rensei_daemon", "logs"]

NEW = {
    "timestamp": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
    "level": "warning",
    "event": "stream.lost",
    "session_id": "build",
}
OLD = {
    "timestamp": "2026-01-01T00:00:00.000Z",
    "level": "info",
    "event": "mutation.applied",
    "mutation_id": "dmut_1",
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Make a state with a log of two events and a stranger's line; no journal."""
    config = tmp_path / "config.toml"
    config.write_text(f'broken = = 1\n[paths]\nstate = "{tmp_path}/state"\n')
    log = tmp_path / "state/log.jsonl"
    log.parent.mkdir()
    log.write_text(f"{json.dumps(OLD)}\n{json.dumps(NEW)}\nKilled\n")
    return {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path / "bin"),
        "RENSEI_DAEMON_CONFIG": str(config),
    }


def run(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run `rensei-daemon logs` and return its code and what it printed."""
    done = subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, env=environ
    )
    return done.returncode, done.stdout, done.stderr


def journalctl(environ: dict[str, str], entries: str) -> Path:
    """Put a journalctl on the PATH that notes its arguments and prints entries."""
    folder = Path(environ["PATH"])
    folder.mkdir()
    program = folder / "journalctl"
    program.write_text(
        f"#!/bin/sh\necho \"$*\" >> {folder}/calls\n/bin/cat <<'END'\n{entries}\nEND\n"
    )
    program.chmod(0o755)
    return folder / "calls"


def test_file(environ: dict[str, str]) -> None:
    """Without a journal the log file is rendered, though the config is broken."""
    assert run(environ) == (
        0,
        "2026-01-01T00:00:00.000Z info     mutation.applied  mutation_id=dmut_1\n"
        f"{NEW['timestamp']} warning  stream.lost  session_id=build\n"
        "Killed\n",
        "",
    )


def test_json(environ: dict[str, str]) -> None:
    """With --json each event is a line as it was written."""
    code, shown, _ = run(environ, "--json", "-n", "2")
    assert code == 0
    assert shown.splitlines() == [json.dumps(NEW), "Killed"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--level", "warning"), [NEW]),
        (("--event", "mutation.*"), [OLD]),
        (("--mutation", "dmut_1"), [OLD]),
        (("--session", "build"), [NEW]),
        (("--since", "5m"), [NEW]),
        (("--since", "2025-12-31"), [OLD, NEW]),
        (("--since", "2025-12-31T00:00:00Z", "-n", "1"), [NEW]),
        (("--level", "debug", "-n", "0"), []),
    ],
)
def test_filters(
    environ: dict[str, str], arguments: tuple[str, ...], expected: list[object]
) -> None:
    """Level, event, mutation, session and time choose the events."""
    code, shown, _ = run(environ, "--json", *arguments)
    assert code == 0
    assert [json.loads(text) for text in shown.splitlines()] == expected


def test_bad_since(environ: dict[str, str]) -> None:
    """A time that is none is a usage error with examples."""
    assert run(environ, "--since", "tea") == (
        64,
        "",
        'rensei-daemon: --since "tea" is no time\n'
        "  like 90s, 15m, 2h, 1d, 2026-11-23 or 2026-11-23T16:00:00Z\n",
    )


def test_no_log(environ: dict[str, str], tmp_path: Path) -> None:
    """Without any log the error says where one would be."""
    (tmp_path / "state/log.jsonl").unlink()
    code, _, said = run(environ)
    assert code == 1
    assert said == (
        "rensei-daemon: there is no log: the journal has no entries of the unit, "
        f"and no {tmp_path}/state/log.jsonl\n"
        "  a daemon on a terminal logs there; see whether one runs: "
        "rensei-daemon status\n"
    )


def test_named_file(environ: dict[str, str], tmp_path: Path) -> None:
    """A [log].file can be read by its name."""
    other = tmp_path / "other.jsonl"
    other.write_text('{"event": "e"}\n')
    assert run(environ, "--file", str(other), "--json") == (0, '{"event": "e"}\n', "")


def test_journal(environ: dict[str, str]) -> None:
    """The unit's journal goes first for the config the unit uses."""
    del environ["RENSEI_DAEMON_CONFIG"]
    entry = {
        "__CURSOR": "c",
        "__REALTIME_TIMESTAMP": "1795449600123000",
        "PRIORITY": "3",
        "RENSEI_EVENT": "config.invalid",
        "RENSEI_LINE": "3",
    }
    started = {"MESSAGE": "Started it.", "__REALTIME_TIMESTAMP": "1795449600124000"}
    calls = journalctl(environ, f"{json.dumps(entry)}\n{json.dumps(started)}")
    assert run(environ, "-n", "7") == (
        0,
        "2026-11-23T16:00:00.123Z error    config.invalid  line=3\n"
        "2026-11-23T16:00:00.124Z info     Started it.\n",
        "",
    )
    probe, read = calls.read_text().splitlines()
    assert probe.endswith("unit=rensei-daemon --output=json --all --quiet --no-pager"
                          " --lines=1")  # fmt: skip
    assert read.endswith("--no-pager --lines=7")


def test_journal_follow(environ: dict[str, str]) -> None:
    """Following goes on after the last entry that was shown."""
    del environ["RENSEI_DAEMON_CONFIG"]
    entry = {"__CURSOR": "c", "MESSAGE": "x"}
    calls = journalctl(environ, json.dumps(entry))
    assert run(environ, "-f") == (0, "- info     x\n" * 2, "")
    assert (
        calls.read_text()
        .splitlines()[2]
        .endswith("--no-pager --follow --after-cursor=c --no-tail")
    )


def test_empty_journal(environ: dict[str, str], tmp_path: Path) -> None:
    """A journal without entries of the unit leaves the file."""
    del environ["RENSEI_DAEMON_CONFIG"]
    environ["RENSEI_DAEMON_PATHS__STATE"] = f"{tmp_path}/state"
    journalctl(environ, "")
    assert run(environ, "-n", "1") == (0, "Killed\n", "")


def test_gone_reader(environ: dict[str, str]) -> None:
    """A reader that leaves early ends the log without complaint."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        done = subprocess.run(PROGRAM, stdout=stdout, stderr=subprocess.PIPE, env=environ)
    assert (done.returncode, done.stderr) == (0, b"")


def test_interrupt(environ: dict[str, str]) -> None:
    """Ctrl-C ends following without a word."""
    with subprocess.Popen(
        [*PROGRAM, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        for _ in range(3):
            following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(5) == 130
        assert following.stderr.read() == b""
