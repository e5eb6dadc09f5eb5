"""Lists for people and for scripts."""

import os
import pty
import sys
from datetime import UTC, datetime

import pytest

from rensei_daemon.cli.printing import (
    Coloured,
    Moment,
    Value,
    outcome,
    print_table,
    show_time,
    table,
)
from rensei_daemon.cli.terminal import Style, Terminal
from rensei_daemon.core.table import Column

NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)
COLUMNS = (
    Column("ID"),
    Column("OUTCOME"),
    Column("WHEN"),
    Column("REASON", is_flexible=True),
)
HOSTILE = "a\x1b[2J\u202eb\nc"


@pytest.mark.parametrize(
    ("text", "age", "utc"),
    [
        ("2026-09-01T11:57:00.123Z", "2 min ago", "2026-09-01 11:57:00Z"),
        ("2026-09-01T13:57:00+02:00", "3 min ago", "2026-09-01 11:57:00Z"),
        ("2026-09-01T12:00:05Z", "in 5 s", "2026-09-01 12:00:05Z"),
        ("soon", "soon", "soon"),
        ("2026-09-01", "2026-09-01", "2026-09-01"),
        ("", "-", "-"),
    ],
)
def test_times_are_ages_for_people(text: str, age: str, utc: str) -> None:
    """Or UTC, if it is asked for; what is no time stays."""
    assert show_time(text, NOW) == age
    assert show_time(text, NOW, in_utc=True) == utc


def test_scripts_get_tabs_and_whole_times(capsys: pytest.CaptureFixture[str]) -> None:
    """No title, no colour, no age, and nothing at the end of a line."""
    rows: list[list[Value]] = [
        ["m", outcome("failed"), Moment("2026-09-01T11:57:00.123Z"), HOSTILE],
        ["n", "", Moment(None), ""],
    ]
    print_table(COLUMNS, rows)
    assert capsys.readouterr().out == (
        "m\tfailed\t2026-09-01T11:57:00.123Z\ta\\x1b[2J\\u202eb c\nn\t\t-\n"
    )


def test_outcomes_have_colours_where_there_are_any() -> None:
    """Hostile text is escaped before it is measured."""
    rows = [["m", outcome("failed, not acknowledged yet", "failed"), Moment(None), HOSTILE]]
    assert table(COLUMNS, rows, Terminal(80, colour=True, is_tty=True), NOW) == [
        "\x1b[2mID\x1b[0m  \x1b[2mOUTCOME\x1b[0m                       "
        "\x1b[2mWHEN\x1b[0m  \x1b[2mREASON\x1b[0m",
        "m   \x1b[31mfailed, not acknowledged yet\x1b[0m  -     a\\x1b[2J\\u202eb c",
    ]
    drawn = table(COLUMNS, rows, Terminal(80, colour=False, is_tty=True), NOW)
    assert "\x1b" not in "".join(drawn)


@pytest.mark.parametrize(
    ("text", "style"),
    [("applied", Style.ADDED), ("cancelled", Style.FAINT), ("failed", Style.REMOVED)],
)
def test_the_colour_of_an_outcome(text: str, style: Style) -> None:
    """Another one has none."""
    assert outcome(text) == Coloured(text, style)
    assert outcome("pending") == "pending"


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """With titles; NO_COLOR is respected."""
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [["m", outcome("applied"), Moment("2026-09-01T11:57:00Z"), ""]]
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        print_table(COLUMNS, rows, in_utc=True)
        terminal.flush()
        written = os.read(ours, 4096).decode()
    os.close(ours)
    assert written.split("\r\n")[:2] == [
        "ID  OUTCOME  WHEN                  REASON",
        "m   applied  2026-09-01 11:57:00Z",
    ]
