"""What was seen in a round, or in all of them, and whether `status` was ever slow."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from wire_fuzz.platform import FuzzPlatform
from wire_fuzz.target import BrokenPromiseError

MOST_STALL_SECONDS = 0.25
MOST_LATE_SECONDS = 0.1
"""Of the machine within one look: beyond, what arrives meanwhile piles up, and the look
says nothing of the daemon."""


@dataclass
class Figures:
    """What was seen."""

    counts: Counter[str] = field(default_factory=Counter)
    stalls: list[float] = field(default_factory=list)
    """How long each answer to `status` took, less what the machine was late."""
    worst: tuple[float, str] = (0.0, "")
    slowest_seconds: float = 0.0
    """The longest that one answer took, whoever was to blame."""
    machine_seconds: float = 0.0
    """The most that the machine was late within one."""
    void: int = 0
    """Looks that say nothing, because the machine was late."""
    load: float = 0.0
    resident_mib: float = 0.0
    state_mib: float = 0.0
    descriptors: int = 0

    def add(self, other: "Figures") -> None:
        """Take in another round's."""
        self.counts += other.counts
        self.stalls += other.stalls
        self.worst = max(self.worst, other.worst)
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.machine_seconds = max(self.machine_seconds, other.machine_seconds)
        self.void += other.void
        self.load = max(self.load, other.load)
        self.resident_mib = max(self.resident_mib, other.resident_mib)
        self.state_mib = max(self.state_mib, other.state_mib)
        self.descriptors = max(self.descriptors, other.descriptors)

    def judge_looks(self, looks: Path, platform: FuzzPlatform) -> None:
        """Read what the probe has seen; raises `BrokenPromiseError` for a stall."""
        for line in looks.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue  # it was ended while it wrote
            began, took, late, ran = map(float, line.split())
            self.slowest_seconds = max(self.slowest_seconds, took)
            self.machine_seconds = max(self.machine_seconds, late)
            if late > MOST_LATE_SECONDS:
                self.void += 1
                continue
            stall = max(0.0, took - late)
            self.stalls.append(stall)
            if stall > self.worst[0]:
                # What went out within the second before it, and while it lasted.
                then = [n for at, n in platform.recent if began - 1 <= at <= began + took]
                named = f"seed {platform.seed}: {', '.join(then[-12:])}"
                self.worst = (
                    stall,
                    f"{named}; ran {ran * 1e3:.0f} ms, machine {late * 1e3:.0f} ms late",
                )
        if self.worst[0] > MOST_STALL_SECONDS:
            raise BrokenPromiseError(f"status took {self.worst[0]:.3f} s: {self.worst[1]}")

    @property
    def is_proof(self) -> bool:
        """Whether the machine let most of the looks say something."""
        return len(self.stalls) > self.void

    def __str__(self) -> str:
        """Return it in one line."""
        stalls = sorted(self.stalls) or [0.0]
        p99, (worst, where) = stalls[int(len(stalls) * 0.99)], self.worst
        return (
            f"{self.counts.total()} answers and events, {len(stalls)} looks at status, "
            f"{self.void} void: p99 {p99 * 1e3:.1f} ms, worst {worst * 1e3:.0f} ms "
            f"({where}), slowest {self.slowest_seconds * 1e3:.0f} ms with a machine "
            f"late by up to {self.machine_seconds * 1e3:.0f} ms, load {self.load:.1f}; "
            f"{self.resident_mib:.0f} MiB of memory, {self.state_mib:.1f} MiB of state, "
            f"{self.descriptors} descriptors"
        )
