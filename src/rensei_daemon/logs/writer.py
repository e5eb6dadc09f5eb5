"""Writes the log in threads, so that the event loop never waits for a pipe or a disk.

Each output has its own queue and thread, so a blocked one does not delay the others.
Beyond a limit events are dropped and counted; the count is logged in their place once the
output accepts lines again.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.logs.formatting import Event
from rensei_daemon.logs.outputs import Output

QUEUE_LENGTH = 4096
QUEUE_BYTES = 4 * 1024 * 1024
"""Limit of the queue of one output; a hook's output alone may be 64 KiB."""

REPORT_SECONDS = 5.0
"""Least time between reports of lost lines, and between tries of a blocked output."""

_CLOSE_SECONDS = 2.0


class Writer:
    """Takes events from any thread and writes them from its own."""

    def __init__(
        self,
        outputs: Sequence[Output],
        limit: int = QUEUE_LENGTH,
        limit_bytes: int = QUEUE_BYTES,
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        self._threads = [
            _OutputThread(output, limit, limit_bytes, report_seconds) for output in outputs
        ]

    @property
    def dropped(self) -> int:
        """How many lines were lost: a queue was full, or a write failed."""
        return sum(thread.dropped for thread in self._threads)

    @property
    def dropped_since(self) -> datetime | None:
        """When the first one was lost, by the clock that nobody sets."""
        times = [thread.dropped_since for thread in self._threads]
        return min((time for time in times if time is not None), default=None)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, event: Event) -> None:
        """Queue an event for every output, or count it as dropped; never wait."""
        for thread in self._threads:
            thread.put(event)

    def close(self) -> None:
        """Write queued events for at most two seconds, and close the outputs."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            thread.end()
        for thread in self._threads:
            thread.close(max(0.0, deadline - time.monotonic()))


class _OutputThread:
    """One output with its queue, its thread and its count of lost lines."""

    def __init__(
        self, output: Output, limit: int, limit_bytes: int, report_seconds: float
    ) -> None:
        self.dropped = 0
        self.dropped_since: datetime | None = None
        self._output = output
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._report_seconds = report_seconds
        self._changed = threading.Condition()
        """Guards everything that both threads use; never held during a write."""
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_ending = False
        self._reported = 0
        self._reported_at = -inf
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, event: Event) -> None:
        rendered = self._output.render(event)
        with self._changed:
            size = self._waiting_bytes + len(rendered)
            if len(self._waiting) >= self._limit or size > self._limit_bytes:
                self._lose()
                return
            self._waiting.append(rendered)
            self._waiting_bytes = size
            self._changed.notify()

    def end(self) -> None:
        """Let the thread end after it has written the queue."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Wait for the thread to end, and close; a blocked one ends with the process."""
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._output.close()

    def _run(self) -> None:
        is_open = True
        while is_open:
            is_open = self._wait()
            while (rendered := self._next()) is not None:
                if self._write(rendered):
                    self._report()
            # Even without new events: a blocked output may accept lines again.
            self._report(at_once=not is_open)

    def _wait(self) -> bool:
        """Wait for something to write; return False at the end."""
        with self._changed:
            while not self._waiting and not self._is_ending:
                owes = self.dropped > self._reported
                if not self._changed.wait(self._report_seconds if owes else None):
                    break
            return not self._is_ending

    def _next(self) -> bytes | None:
        with self._changed:
            if not self._waiting:
                return None
            rendered = self._waiting.popleft()
            self._waiting_bytes -= len(rendered)
            return rendered

    def _write(self, rendered: bytes, *, is_report: bool = False) -> bool:
        try:
            self._output.write(rendered)
        except OSError:
            # A lost report is not counted: it is made again.
            if not is_report:
                with self._changed:
                    self._lose()
            return False
        return True

    def _report(self, *, at_once: bool = False) -> None:
        now, count = time.monotonic(), self.dropped
        is_early = now - self._reported_at < self._report_seconds
        if count == self._reported or (is_early and not at_once):
            return
        event = {
            "timestamp": iso_time(datetime.now(UTC)),
            "level": "warning",
            "event": "log.dropped",
            "lines": count - self._reported,
        }
        self._reported_at = now
        if self._write(self._output.render(event), is_report=True):
            self._reported = count

    def _lose(self) -> None:
        self.dropped += 1
        self.dropped_since = self.dropped_since or CLOCK.now()
