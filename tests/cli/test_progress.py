"""A command says what it waits for, on a terminal only."""

import os
import pty
import sys
import threading

import pytest

from rensei_daemon.cli import progress as module
from rensei_daemon.cli.progress import progress, waiting_for


def test_a_terminal_sees_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it takes a second; afterwards the line is erased."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress() as shown:
            shown.show("too early")
            monkeypatch.setattr(module, "SHOW_SECONDS", 0.0)
            shown.show("host a: \x1b[2Jpending")
        expected = b"\r\x1b[K| host a: \\x1b[2Jpending, 0 s\r\x1b[K"
        written = b""
        while len(written) < len(expected):  # a terminal hands on what it has so far
            written += os.read(ours, 4096)
    os.close(ours)
    assert written == expected


def test_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script's stderr stays clean."""
    monkeypatch.setattr(module, "SHOW_SECONDS", 0.0)
    with progress() as shown:
        shown.show("x")
    before = threading.active_count()
    with waiting_for("x"):
        assert threading.active_count() == before
    assert capsys.readouterr().err == ""


def test_only_the_outermost_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request within a longer wait starts no line of its own."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        before = threading.active_count()
        with progress(), waiting_for("the platform"):
            assert threading.active_count() == before
        with waiting_for("the platform"):
            assert threading.active_count() == before + 1
    os.close(ours)


def test_a_wait_without_news_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread beside it, which ends with the wait."""
    monkeypatch.setattr(module, "SHOW_SECONDS", 0.0)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        before = threading.active_count()
        with waiting_for("the daemon"):
            written = os.read(ours, 4096).decode()
    os.close(ours)
    assert written.startswith("\r\x1b[K| the daemon, 0 s")
    assert before == threading.active_count()
