"""Lists of the administration commands, for people and for scripts."""

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_platform.cli import output
from rensei_platform.cli.access import print_audit
from rensei_platform.cli.main import commands
from rensei_platform.cli.output import print_fields, print_table, show_time
from rensei_platform.cli.table import display_width, draw

HEAD = ("ID", "STATUS", "ERROR")
ROWS = [
    ["dmut_1", "failed", "project a is protected on this host"],
    ["dmut_20", "applied", "-"],
]
NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)


def plain(part: str, _: str) -> str:
    """Paint nothing."""
    return part


def read_until(terminal: int, ending: str) -> str:
    """Return what was written; a read has what came so far."""
    written = ""
    while not written.endswith(ending):
        written += os.read(terminal, 4096).decode()
    return written


def test_a_table_that_fits() -> None:
    """A title above each column."""
    assert draw(HEAD, ROWS, width=80, paint=plain) == [
        "ID       STATUS   ERROR",
        "dmut_1   failed   project a is protected on this host",
        "dmut_20  applied  -",
    ]


def test_a_narrower_one_breaks_cells_at_blanks() -> None:
    """An id stays whole, so that it can be copied."""
    assert draw(HEAD, ROWS, width=42, paint=plain) == [
        "ID       STATUS   ERROR",
        "dmut_1   failed   project a is protected",
        "                  on this host",
        "dmut_20  applied  -",
    ]


def test_one_that_does_not_fit_becomes_blocks() -> None:
    """One title a line."""
    assert draw(HEAD, ROWS[:1], width=26, paint=plain) == [
        "ID      dmut_1",
        "STATUS  failed",
        "ERROR   project a is",
        "        protected on this",
        "        host",
    ]


_TEXT = st.text("ab 建é-", min_size=1, max_size=30).map(lambda text: " ".join(text.split()))


@given(
    st.lists(st.tuples(_TEXT, _TEXT, _TEXT), min_size=1, max_size=4),
    st.integers(min_value=20, max_value=90),
)
def test_nothing_is_cut(rows: list[tuple[str, str, str]], width: int) -> None:
    """And only a word that is too long makes a line too wide."""
    lines = draw(HEAD, rows, width=width, paint=plain)
    drawn = "".join(lines)
    for mark in "ab建é-":
        assert drawn.count(mark) == sum(text.count(mark) for row in rows for text in row)
    longest = max(
        display_width(word) for row in rows for text in row for word in text.split(" ")
    )
    assert max(map(display_width, lines)) <= max(width, longest + len("STATUS  "))


def test_wide_and_combining_characters() -> None:
    """Count as a terminal shows them."""
    assert [display_width(text) for text in ("建置", "e\u0301", "🚀", "é")] == [4, 1, 2, 1]


@pytest.mark.parametrize(
    ("text", "age", "utc"),
    [
        ("2026-09-01T11:57:00.123Z", "2 min ago", "2026-09-01 11:57:00Z"),
        ("2026-09-01T12:00:05.000Z", "in 5 s", "2026-09-01 12:00:05Z"),
        ("2026-08-30T11:00:00.000Z", "2 d ago", "2026-08-30 11:00:00Z"),
        (
            "2026-13-01T12:00:05.000Z",
            "2026-13-01T12:00:05.000Z",
            "2026-13-01T12:00:05.000Z",
        ),
        ("build-07", "build-07", "build-07"),
    ],
)
def test_times_are_ages_for_people(text: str, age: str, utc: str) -> None:
    """Or UTC, if it is asked for."""
    assert show_time(text, NOW, in_utc=False) == age
    assert show_time(text, NOW, in_utc=True) == utc


def test_scripts_get_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    """No title and no age; what cannot be seen is escaped."""
    print_table(HEAD, [["m\x1b[2J", None, "2026-09-01T11:57:00.123Z"]])
    assert capsys.readouterr().out == "m\\x1b[2J\t-\t2026-09-01T11:57:00.123Z\n"


@pytest.mark.parametrize("has_colour", [True, False])
def test_a_terminal_gets_a_table(has_colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--utc`; outcomes have a colour, unless NO_COLOR is set."""
    monkeypatch.setenv("NO_COLOR", "" if has_colour else "1")
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, click.Context(commands) as context:
        context.meta["rensei_platform.cli.output"] = True
        monkeypatch.setattr(sys, "stdout", terminal)
        print_table(HEAD, [["m", "failed", "2026-09-01T11:57:00.123Z"]])
        terminal.flush()
        written = read_until(ours, "11:57:00Z\r\n")
    os.close(ours)
    failed = "\x1b[31mfailed\x1b[0m" if has_colour else "failed"
    assert written.split("\r\n")[:2] == [
        "ID  STATUS  ERROR",
        f"m   {failed}  2026-09-01 11:57:00Z",
    ]


def test_the_audit_fits_into_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ids and addresses whole; a script gets each field by itself."""
    entry = {"seq": 7, "at": "2026-09-01T11:57:00.123Z", "actor": "ada@acme.test"}
    mutation = {
        **entry,
        "actor": "alexandra.hamilt@acme.test",
        "action": "mutation.enqueue",
        "object": "dmut_62b46c52f64395d23a1f6829",
        "outcome": "ok",
        "count": 1,
        "address": "2001:db8::7",
    }
    refusal = {
        **entry,
        "action": "request.refused",
        "object": "",
        "outcome": "refused 403",
        "count": 12,
        "address": "",
    }
    monkeypatch.setenv("NO_COLOR", "1")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, click.Context(commands) as context:
        context.meta["rensei_platform.cli.output"] = True
        monkeypatch.setattr(sys, "stdout", terminal)
        print_audit({"entries": [mutation, refusal], "before": 7})
        terminal.flush()
        written = read_until(ours, "--before 7\r\n")
    os.close(ours)
    lines = written.split("\r\n")[:-1]
    assert lines == [
        "WHEN        WHO                         WHAT                           OUTCOME",
        "2026-09-01  alexandra.hamilt@acme.test  mutation.enqueue               ok",
        "11:57:00Z   2001:db8::7                 dmut_62b46c52f64395d23a1f6829",
        "2026-09-01  ada@acme.test               request.refused                refused",
        "11:57:00Z                                                              403 × 12",
        "older entries: --before 7",
    ]
    assert max(map(len, lines)) <= 80


def test_a_slow_request_is_told_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it takes a second; what is quick shows nothing, nor does a script see it."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with output.waiting_for("quick"):
            pass
        monkeypatch.setattr(output, "SHOW_SECONDS", 0.0)
        monkeypatch.setattr(output, "TICK_SECONDS", 0.001)
        with output.waiting_for("the control plane"):
            written = os.read(ours, 4096).decode()
    os.close(ours)
    assert written.startswith("\r\x1b[Kthe control plane, 0 s")


def test_fields_on_a_terminal_have_times_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe gets them as the wire has them."""
    fields = {"id": "h", "lastSeenAt": "2026-09-01T11:57:00.123Z"}
    print_fields(fields)
    assert (
        capsys.readouterr().out == "id          h\nlastSeenAt  2026-09-01T11:57:00.123Z\n"
    )
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, click.Context(commands) as context:
        context.meta["rensei_platform.cli.output"] = True
        monkeypatch.setattr(sys, "stdout", terminal)
        print_fields(fields)
        terminal.flush()
        written = read_until(ours, "11:57:00Z\r\n")
    os.close(ours)
    assert written.splitlines()[-1] == "lastSeenAt  2026-09-01 11:57:00Z"


@pytest.mark.parametrize(
    ("words", "meant"), [(["hots", "list"], "host"), (["host", "lst"], "list")]
)
def test_a_mistyped_command_gets_a_suggestion(words: list[str], meant: str) -> None:
    """Exit code 64."""
    done = subprocess.run(
        [sys.executable, "-m", "rensei_platform", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 64
    assert f"Did you mean '{meant}'?" in done.stderr
