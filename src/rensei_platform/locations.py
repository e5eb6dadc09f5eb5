"""Where the control plane keeps its files, unless a setting says otherwise."""

import os
from collections.abc import Mapping
from pathlib import Path

SYSTEM_STATE = Path("/var/lib/rensei-platform")
STATE_VARIABLE = "RENSEI_PLATFORM_STATE_DIRECTORY"
_NAME = "rensei-platform"


def state_directory(
    environ: Mapping[str, str], uid: int, system: Path = SYSTEM_STATE
) -> Path:
    """Return the directory of what outlives the process: the same for every command.

    It is the one of the environment, else the system's for root and for the user to whom
    it belongs; another user has one below their home.
    """
    if said := environ.get(STATE_VARIABLE):
        return Path(said)
    if uid == 0 or os.access(system, os.W_OK | os.X_OK, effective_ids=True):
        return system
    named = Path(environ.get("XDG_STATE_HOME", ""))
    # The XDG specification requires relative values to be ignored.
    home = Path(environ.get("HOME", "/")) / ".local/state"
    return (named if named.is_absolute() else home) / _NAME
