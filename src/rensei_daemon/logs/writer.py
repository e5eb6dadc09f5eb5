"""The thread that writes, so that the event loop never waits for a pipe or a disk.

Events queue up to a limit; beyond it they are dropped and counted, and the count is
logged when the way is free again. A full pipe costs log lines, never a heartbeat.
"""

import queue
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from rensei_daemon.logs.journal import timestamp
from rensei_daemon.logs.outputs import Output
from rensei_daemon.logs.rendering import Event

QUEUE_LENGTH = 4096
_CLOSE_SECONDS = 1.0

_Entry = tuple[Output, bytes]


class Writer:
    """Takes events from any thread and writes them from its own."""

    def __init__(self, outputs: Sequence[Output], limit: int = QUEUE_LENGTH) -> None:
        self._outputs = outputs
        self._queue: queue.Queue[_Entry | None] = queue.Queue(limit)
        self._lock = threading.Lock()
        self._dropped = 0
        self._reported = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    @property
    def dropped(self) -> int:
        """How many lines were lost: the queue was full, or a write failed."""
        return self._dropped

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event for every output, or count it as dropped; never wait."""
        for output in self._outputs:
            try:
                self._queue.put_nowait((output, output.render(event)))
            except queue.Full:
                self._count_loss()

    def close(self) -> None:
        """Write what is queued, for two seconds at most, and close the outputs."""
        try:
            self._queue.put(None, timeout=_CLOSE_SECONDS)
        except queue.Full:
            return  # the thread is stuck in a write; it dies with the process
        self._thread.join(_CLOSE_SECONDS)
        if not self._thread.is_alive():
            for output in self._outputs:
                output.close()

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            self._write(*entry)
            if self._dropped > self._reported:
                self._report()

    def _write(self, output: Output, rendered: bytes) -> bool:
        try:
            output.write(rendered)
        except OSError:
            self._count_loss()
            return False
        return True

    def _report(self) -> None:
        count = self._dropped
        event = {
            "timestamp": timestamp(datetime.now(UTC)),
            "level": "warning",
            "event": "log.dropped",
            "lines": count - self._reported,
        }
        # A loss while reporting losses is not reported, or it would go on for ever.
        for output in self._outputs:
            self._write(output, output.render(event))
        self._reported = self._dropped

    def _count_loss(self) -> None:
        with self._lock:
            self._dropped += 1
