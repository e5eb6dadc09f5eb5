"""Everything the platform knows at a moment, and word of every change to it.

Pure but for the clock and the randomness handed in. It decides nothing: the rules, in
`access`, `workers`, `mutations` and `rotation`, all read and write here.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from rensei_daemon.local_platform.credentials import Scope
from rensei_daemon.local_platform.records import (
    AuditEntry,
    Beat,
    Json,
    Record,
    Secret,
    Tables,
    wire_time,
)
from rensei_daemon.local_platform.settings import PlatformSettings
from rensei_daemon.local_platform.streams import LiveStream

_BEATS_KEPT = 10_000
_SIGNING = "runtime-tokens"


def utc_now() -> datetime:
    """Return the time as an aware UTC value."""
    return datetime.now(UTC)


class Ledger:
    """Records, the latest beats, and the streams that are open right now."""

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        clock: Callable[[], datetime] = utc_now,
        new_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.tables = Tables()
        self.beats: deque[Beat] = deque(maxlen=_BEATS_KEPT)
        """The latest heartbeats, oldest first."""
        self.streams: list[LiveStream] = []
        """The rotate streams open now, oldest first."""
        self.session_scopes: dict[tuple[str, str], Scope] = {}
        """The scope of the last snapshot of each (org id, session id)."""
        self.tokens_valid_from = 0.0
        """Runtime tokens issued before this epoch second count as expired."""
        self._new_hex = new_hex
        self._listeners: list[Callable[[Sequence[Record]], None]] = []

    def restore(self, records: Iterable[Record]) -> None:
        """Take back what an earlier platform remembered; nobody is told."""
        for record in records:
            self.tables.put(record)

    def listen(self, listener: Callable[[Sequence[Record]], None]) -> None:
        """Call `listener` after every change, with the records that changed, if any."""
        self._listeners.append(listener)

    def put(self, *records: Record) -> None:
        """Remember records, all of them or none as far as the store goes."""
        for record in records:
            self.tables.put(record)
        self._tell(records)

    def note_beat(self, beat: Beat) -> None:
        """Keep a heartbeat for whoever inspects; no rule reads it."""
        self.beats.append(beat)
        self._tell(())

    def open_stream(self, stream: LiveStream) -> None:
        """Count a stream among the live ones."""
        self.streams.append(stream)
        self._tell(())

    def close_stream(self, stream: LiveStream) -> None:
        """Count it no longer."""
        self.streams.remove(stream)
        self._tell(())

    def log(self, org_id: str, actor: str, action: str, detail: Json) -> None:
        """Write an audit entry: ids and names only, never a value."""
        entry = AuditEntry(
            id=self.new_id("aud"),
            at=self.now_text(),
            org_id=org_id,
            actor=actor,
            action=action,
            detail=detail,
        )
        self.put(entry)

    def now_text(self) -> str:
        """Return the time as the wire writes it."""
        return wire_time(self.clock())

    def new_id(self, prefix: str) -> str:
        """Return an id nobody has yet, like `host_5f0c2b6a91d3e874`."""
        return f"{prefix}_{self._new_hex(8)}"

    def new_key_text(self) -> str:
        """Return the text of a new API key."""
        return f"rsk_live_{self._new_hex(32)}"

    def signing_secret(self) -> bytes:
        """Return the secret that signs runtime tokens; made at first need."""
        secret = self.tables.secrets.get(_SIGNING)
        if secret is None:
            secret = Secret(id=_SIGNING, hex=self._new_hex(32))
            self.put(secret)
        return bytes.fromhex(secret.hex)

    def _tell(self, records: Sequence[Record]) -> None:
        for listener in self._listeners:
            listener(records)
