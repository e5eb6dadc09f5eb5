"""Read the last status that the daemon wrote, for when it is down."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_last_status(path: Path) -> Mapping[str, Any] | None:
    """Return the status that a daemon wrote last; None if absent or unreadable."""
    try:
        last = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return last if isinstance(last, dict) else None
