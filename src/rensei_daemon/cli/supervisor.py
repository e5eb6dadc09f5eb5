"""Supervises a command: starts it, reacts to rotations, and returns its exit code.

One thread with one `poll` for signals, the credential socket and the clock. The daemon may
restart meanwhile; the command keeps its values until there are newer ones.

::

    start ─▶ running ─┬─ rotation ─▶ stopping the tree ─▶ start
                      └─ TERM, or the command ended ─▶ stopping the tree ─▶ exit code
"""

import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.command_start import start_errors
from rensei_daemon.cli.controlling_terminal import ControllingTerminal
from rensei_daemon.cli.process_tree import ProcessTree
from rensei_daemon.cli.process_tree_stop import TreeStop
from rensei_daemon.cli.sessions_feed import SessionsFeed
from rensei_daemon.cli.signal_inbox import drain, received_signals
from rensei_daemon.fast_dataclass import dataclass

TYPED = (signal.SIGINT, signal.SIGQUIT)
"""The command receives these from a keyboard itself."""

BETWEEN_STARTS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Reaction:
    """How the command is informed of a rotation."""

    number: signal.Signals | None = None
    """The signal it is sent; None: it is restarted."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to supervise, and how."""

    argv: Sequence[str]
    reaction: Reaction
    stop_signal: signal.Signals
    grace_seconds: float
    """Between the stop signal and KILL."""


class Supervisor:
    """Runs a command until it ends, or a signal ends it."""

    def __init__(self, command: Command, feed: SessionsFeed) -> None:
        self._command = command
        self._feed = feed
        self._tree = ProcessTree()
        self._terminal = ControllingTerminal()
        self._started_at = 0.0
        self._stopping: TreeStop | None = None
        self._is_restarting = False
        self._has_survivors = False
        """Whether processes with older values could not be killed."""
        self._told_to_end_at = -float("inf")

    def run(self) -> int:
        """Start the command and return its exit code as a shell reports it.

        Raises `NotRunnableError` if it cannot be started.
        """
        with received_signals() as received:
            self._start()
            while True:
                for number in drain(received):
                    self._pass_on(number)
                self._feed.listen()
                self._feed.say_waiting()
                self._tree.reap()
                self._react()
                if self._stopping is not None and self._stopping.step():
                    self._has_survivors = bool(self._stopping.left)
                    self._log_left(self._stopping.left)
                    self._terminal.take_back()
                    if not self._is_restarting or self._is_ending():
                        code = self._tree.exit_code
                        return 128 + signal.SIGKILL if code is None else code
                    self._start()
                self._acknowledge()
                self._wait(received)

    def _acknowledge(self) -> None:
        """Say that the command uses the newest values, once it does, and nothing else."""
        runs = self._stopping is None and self._tree.exit_code is None
        if runs and not self._has_survivors:
            self._feed.acknowledge()

    def _start(self) -> None:
        with start_errors(self._command.argv[0]):
            self._tree.start(
                self._command.argv,
                self._feed.take(),
                death_signal=self._command.stop_signal,
            )
        self._started_at = time.monotonic()
        self._stopping, self._is_restarting = None, False

    def _stop(self, *, restarts: bool) -> None:
        self._is_restarting = restarts
        if self._stopping is None:
            command = self._command
            self._stopping = TreeStop(
                self._tree, command.stop_signal, command.grace_seconds
            )

    def _pass_on(self, number: signal.Signals) -> None:
        if number is signal.SIGTERM:
            if self._stopping is not None:
                self._stopping.signal_new()
            self._stop(restarts=False)
            return
        # Without a hang-up it is sent to reload, and a command started anew has loaded.
        is_hang_up = number is signal.SIGHUP and self._terminal.is_gone
        if number in TYPED or is_hang_up:
            self._told_to_end_at = time.monotonic()
        if number not in TYPED or not self._terminal.is_foreground:
            self._tree.signal_command(number)

    def _is_ending(self) -> bool:
        """Whether it was just signalled to end; then it is not started again.

        From the keyboard, or because the terminal went away.

        A command that survived, such as a shell after Ctrl-C, is restarted as usual.
        """
        return time.monotonic() < self._told_to_end_at + self._command.grace_seconds

    def _react(self) -> None:
        """Begin what is due: the end after the command's, or the reaction to a rotation."""
        if self._stopping is not None:
            return
        if self._tree.exit_code is not None:
            self._stop(restarts=False)
        elif self._feed.is_pending and time.monotonic() >= self._react_at:
            if self._command.reaction.number is None:
                self._stop(restarts=True)
            else:
                self._feed.take()
                self._tree.signal_command(self._command.reaction.number)

    @property
    def _react_at(self) -> float:
        """When a rotation may first be acted on."""
        told_at = self._told_to_end_at + self._command.grace_seconds
        is_restart = self._command.reaction.number is None
        started_at = self._started_at + BETWEEN_STARTS_SECONDS * is_restart
        return max(told_at, started_at, self._feed.due_at)

    def _wait(self, received: socket.socket) -> None:
        waiting = select.poll()
        waiting.register(received, select.POLLIN)
        for reader in self._feed.open_readers:
            waiting.register(reader, select.POLLIN)
        due = self._feed.reconnect_at
        if self._stopping is not None:
            due = min(due, self._stopping.due_at)
        elif self._feed.is_pending:
            due = min(due, self._react_at)
        seconds = due - time.monotonic()
        waiting.poll(None if seconds == float("inf") else max(seconds, 0.0) * 1000)

    @staticmethod
    def _log_left(pids: Sequence[int]) -> None:
        if pids:
            shown = " ".join(map(str, pids))
            print(f"{PROGRAM}: could not be killed: {shown}", file=sys.stderr)
