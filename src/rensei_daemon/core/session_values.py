"""How snapshots and events change a session's values: all rules, and no I/O.

::

    snapshot_requested ─▶ (updates meanwhile) ─▶ take_snapshot  all values, or newer updates
    take_update ─▶ applied, or refused and a snapshot wanted

Values are replaced as a whole: `credentials` is another object if something changed, else
the same one. Variables that may not reach a process are dropped, and their names kept.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from rensei_daemon.core.credential import (
    MOST_NAMES,
    Credentials,
    Size,
    filter_values,
    shown_name,
    size_of,
)
from rensei_daemon.core.rotation_order import RotationOrder
from rensei_daemon.core.snapshot_schedule import SnapshotReason
from rensei_daemon.fast_dataclass import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """An UPDATE as it arrived: values that changed."""

    delta: Mapping[str, str] = field(repr=False)
    rotated_at: datetime | None = None
    """When the platform rotated them, by its own clock; None if unknown."""
    is_whole: bool = True
    """False if it named more variables, whose values were not text."""
    version: int | None = None
    """The platform's version of the values; None if it names none."""
    previous_version: int | None = None
    """Of the rotation before it; a session without that one has missed it."""


class SessionValues:
    """A session's values, and what is known of their age and completeness."""

    def __init__(self) -> None:
        self.credentials = Credentials()
        self.version: int | None = None
        """The platform's version of the values; None if it names none."""
        self.dropped_names: tuple[str, ...] = ()
        """Sorted names of variables that may not reach a process."""
        self.lost_names = 0
        """How many names the last snapshot removed, if more than half of them."""
        self._order = RotationOrder()
        self._size = Size()
        self._meanwhile: list[StreamUpdate] | None = None
        """The updates that arrived during a snapshot; None if none is under way."""

    def snapshot_requested(self) -> None:
        """Note that a snapshot was requested."""
        self._meanwhile = []

    def snapshot_failed(self) -> None:
        """Note that the snapshot failed."""
        self._meanwhile = None

    def take_snapshot(
        self,
        env: Mapping[str, str],
        answered_at: datetime,
        now: float,
        *,
        dropped: Iterable[str] = (),
        version: int | None = None,
    ) -> SnapshotReason | None:
        """Apply a snapshot; return why another one is wanted.

        `version` is the platform's version of the snapshot. `dropped` are names whose
        value was not text. An update that arrived during the snapshot overrides it unless
        its stamp or version is older; another snapshot then shows which was newer.
        """
        before, meanwhile = self.credentials, self._meanwhile or ()
        self._meanwhile = None
        accepted = filter_values(env)
        self.dropped_names = _sorted_names((*accepted.dropped, *dropped))
        self._order = self._order.after_snapshot(answered_at, now)
        values, self.version = {**accepted.env}, version
        for update in meanwhile:
            is_newer = self._order.outlives_snapshot(update.rotated_at, now)
            if is_newer and not _is_older(update, version):
                values |= filter_values(update.delta).env
                self.version = _advanced(self.version, update)
        if not size_of(values).is_allowed:
            values, self.version = {**accepted.env}, version
        self.credentials = before.replaced(values)
        self._size = size_of(values)
        self.lost_names = _lost(before, self.credentials)
        if meanwhile:
            return SnapshotReason.OVERTAKEN
        return SnapshotReason.LOST_NAMES if self.lost_names else None

    def take_update(self, update: StreamUpdate, now: float) -> SnapshotReason | None:
        """Apply an update if allowed; return why a snapshot is wanted."""
        is_late = _is_older(update, self.version)
        if is_late or not self._order.admits(update.rotated_at, now):
            return SnapshotReason.ORDER
        accepted = filter_values(update.delta)
        grown = self._size.changed(self.credentials.env, accepted.env)
        if not grown.is_allowed:
            return SnapshotReason.EVENT
        self._order = self._order.after_update(update.rotated_at, now)
        if self._meanwhile is not None:
            self._meanwhile.append(update)
        if self.credentials.generation == 0:
            # A delta alone is not all of the session's values; the snapshot
            # under way is.
            return SnapshotReason.EVENT
        is_spoilt = not self.credentials.env.keys().isdisjoint(accepted.dropped)
        if accepted.dropped:
            self.dropped_names = _sorted_names((*self.dropped_names, *accepted.dropped))
        self.credentials = self.credentials.updated(accepted.env)
        self._size = grown
        if is_spoilt or not update.is_whole:
            # The value it was meant to replace must not stay in use.
            return SnapshotReason.EVENT
        self.version = _advanced(self.version, update)
        return SnapshotReason.EVENT if _has_missed_one(self.version, update) else None


def _is_older(update: StreamUpdate, held: int | None) -> bool:
    """Whether values that are held came after the update."""
    version = update.version
    return held is not None and version is not None and version < held


def _has_missed_one(held: int | None, update: StreamUpdate) -> bool:
    """Whether the rotation before this one has not arrived."""
    previous = update.previous_version
    return held is not None and previous is not None and held < previous


def _advanced(held: int | None, update: StreamUpdate) -> int | None:
    """Return the version after an update.

    It says nothing of the other kinds, so a session that has missed one does not hold it.
    """
    if held is None or update.version is None or update.previous_version is None:
        return held
    return held if held < update.previous_version else max(held, update.version)


def _lost(before: Credentials, after: Credentials) -> int:
    """Return how many names are gone, if more than half of them."""
    lost = len(before.env.keys() - after.env.keys())
    return lost if 2 * lost > len(before.env) else 0


def _sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(map(shown_name, names))))[:MOST_NAMES]
