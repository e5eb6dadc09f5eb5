"""`rensei-daemon logs`, as the shell sees it."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import forked
import pytest
from deadlines import HANG_SECONDS

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
    done = forked.run("rensei_daemon", "logs", *arguments, env=environ)
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
        (("--since", "1h"), [NEW, "Killed"]),
        (("--since", "2025-12-31"), [OLD, NEW, "Killed"]),
        (("--since", "2025-12-31T00:00:00Z", "-n", "1"), ["Killed"]),
        (("--since", "1h", "--level", "info"), [NEW]),
        (("--since", "1s"), []),
        (("--level", "debug", "-n", "0"), []),
    ],
)
def test_filters(
    environ: dict[str, str], arguments: tuple[str, ...], expected: list[object]
) -> None:
    """Level, event, mutation, session and time choose the events."""
    code, shown, _ = run(environ, "--json", *arguments)
    assert code == 0
    lines = shown.splitlines()
    assert [t if t == "Killed" else json.loads(t) for t in lines] == expected


def test_bad_since(environ: dict[str, str]) -> None:
    """A time that is none is a usage error with examples."""
    assert run(environ, "--since", "tea") == (
        64,
        "",
        'rensei-daemon: --since "tea" is no time\n'
        "  like 15m, 2h, 1d, yesterday, 16:00, 2026-11-23 16:00 or "
        "2026-11-23T16:00:00Z\n",
    )


def test_no_log(environ: dict[str, str], tmp_path: Path) -> None:
    """Without any log the error says where one would be."""
    (tmp_path / "state/log.jsonl").unlink()
    code, _, said = run(environ)
    assert code == 1
    assert said == (
        "rensei-daemon: there is no log: the journal has no entries of the unit, "
        f"and no {tmp_path}/state/log.jsonl\n"
        "  a daemon on a terminal logs there, one with [log].file: rensei-daemon logs "
        f"--config {tmp_path}/config.toml --file PATH; see whether one runs: "
        f"rensei-daemon status --config {tmp_path}/config.toml\n"
    )


def test_no_such_file(environ: dict[str, str]) -> None:
    """A file that was named and is not there is all there is to say."""
    assert run(environ, "--file", "/no/such") == (
        1,
        "",
        "rensei-daemon: there is no /no/such\n  see [log].file in the configuration\n",
    )


def test_a_directory(environ: dict[str, str], tmp_path: Path) -> None:
    """What is not a file cannot be read, and the error has no traceback."""
    code, _, said = run(environ, "--file", str(tmp_path))
    assert (code, said.splitlines()[0]) == (
        1,
        f"rensei-daemon: {tmp_path} cannot be read: Is a directory",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--event", "mutation.apply"),
            'no event is called mutation.apply (did you mean "mutation.applied"?); '
            "see docs/events.md",
        ),
        (("--event", "zz.*"), "no event is called zz.*; see docs/events.md"),
        (
            ("--event", "heartbeat.*"),
            "leave out an option, or see all of it: rensei-daemon logs",
        ),
        (
            ("--since", "1s", "--level", "info"),
            "look further back: a longer --since, or -n N without it",
        ),
        (
            ("--level", "debug", "--session", "other"),
            "debug is logged when asked for: rensei-daemon logs --set-level debug",
        ),
    ],
)
def test_nothing_found(
    environ: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    """An empty answer says what to try, beside the log and not in it."""
    assert run(environ, *arguments) == (0, "", f"nothing in the log matches\n  {said}\n")


def test_empty_log(environ: dict[str, str], tmp_path: Path) -> None:
    """An empty log is no error, but there is a message."""
    (tmp_path / "state/log.jsonl").write_text("")
    assert run(environ) == (
        0,
        "",
        "the log is empty\n  see whether the daemon runs: rensei-daemon status\n",
    )
    assert run(environ, "-n", "0") == (0, "", "")


def test_set_level_without_a_daemon(environ: dict[str, str], tmp_path: Path) -> None:
    """There is no daemon to change it, and the hint starts one."""
    code, _, said = run(environ, "--set-level", "debug")
    assert code == 3
    assert "the daemon is not running" in said
    assert f"rensei-daemon run --config {tmp_path}/config.toml" in said


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


def test_journal_filters(environ: dict[str, str]) -> None:
    """Journalctl finds the fields, and what came as text, which may be JSON of ours."""
    del environ["RENSEI_DAEMON_CONFIG"]
    mine = {"MESSAGE": json.dumps(OLD | {"mutation_id": "42"}), "PRIORITY": "6"}
    other = {"MESSAGE": json.dumps(OLD), "PRIORITY": "6"}
    calls = journalctl(environ, f"{json.dumps(mine)}\n{json.dumps(other)}\n{{cut sho")
    assert run(environ, "--mutation", "42", "--event", "mutation.applied") == (
        0,
        "2026-01-01T00:00:00.000Z info     mutation.applied  mutation_id=42\n",
        "",
    )
    assert run(environ, "-f", "--session", "build", "--event", "stream.*")[0] == 0
    asked = calls.read_text().splitlines()
    assert asked[1].endswith(
        "--no-pager RENSEI_EVENT=mutation.applied "
        'RENSEI_MUTATION_ID="42" + _TRANSPORT=stdout'
    )
    for line in asked[3:]:
        assert line.endswith("RENSEI_SESSION_ID=build + _TRANSPORT=stdout")


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


def test_follow_an_unknown_event(environ: dict[str, str]) -> None:
    """Waiting for what never comes is announced before the waiting."""
    with subprocess.Popen(
        [*PROGRAM, "-f", "--event", "stream.lots"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
    ) as following:
        assert following.stderr is not None
        assert following.stderr.readline() == (
            b'no event is called stream.lots (did you mean "stream.lost"?); '
            b"see docs/events.md\n"
        )
        following.send_signal(signal.SIGINT)
        assert following.wait(HANG_SECONDS) == 130


def test_interrupt(environ: dict[str, str]) -> None:
    """Ctrl-C ends following without a message."""
    with subprocess.Popen(
        [*PROGRAM, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        for _ in range(3):
            following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(HANG_SECONDS) == 130
        assert following.stderr.read() == b""
