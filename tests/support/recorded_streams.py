"""A stream that keeps what is pushed to it."""

import json
from dataclasses import dataclass, field
from typing import Any

from rensei_platform.bus.hub import Hub


@dataclass(eq=False)
class RecordedStream:
    """An open stream without a connection."""

    hub: Hub
    org_id: str = "org"
    key_id: str = "key"
    session_id: str = "s"
    host_id: str | None = None
    version: int = 0
    frames: list[bytes] = field(default_factory=list)
    is_ended: bool = False

    def __post_init__(self) -> None:
        self.hub.open(self)

    def push(self, frame: bytes) -> bool:
        if self.is_ended:
            return False
        self.frames.append(frame)
        return True

    def keep_alive(self) -> None:
        self.push(b": keepalive\n\n")

    def end(self) -> None:
        if not self.is_ended:
            self.is_ended = True
            self.hub.close(self)

    def abort(self) -> None:
        self.end()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of the events so far."""
        return [json.loads(frame.partition(b"data: ")[2]) for frame in self.frames]
