"""Format a duration for people."""

import itertools

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: `4 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    left = max(0, int(seconds))
    for (unit, size), (smaller, small) in itertools.pairwise(_UNITS):
        if left >= size:
            whole, rest = divmod(left, size)
            part = f" {rest // small} {smaller}" if unit in ("d", "h") else ""
            return f"{whole} {unit}{part if rest >= small else ''}"
    return f"{left} s"
