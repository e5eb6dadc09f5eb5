"""Runs a soak again in a network and a mount namespace of its own, as root.

There the loopback device is up, and names are looked up at `rig.name_server` alone.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rig.name_server import ADDRESS

_NAMESPACE = "RENSEI_SOAK_NAMESPACE"
_RESOLV = f"nameserver {ADDRESS}\noptions timeout:5 attempts:2\n"
"""The defaults of the C library, written out."""


def why_not() -> str | None:
    """Return why there can be no network of our own, or None."""
    if os.geteuid() != 0:
        return "only root may make namespaces"
    lacking = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    return f"needs {' and '.join(lacking)}" if lacking else None


def run_command(*words: str) -> None:
    """Run a program; raises when it fails."""
    subprocess.run(words, check=True, capture_output=True)


def in_own_network() -> bool:
    """Return whether this process is in the namespaces, which are then ready.

    Outside, enter them, and start over; return False, in words, where they cannot be had.
    """
    if _NAMESPACE in os.environ:
        run_command("ip", "link", "set", "lo", "up")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(_RESOLV)
            file.flush()
            Path(file.name).chmod(0o644)
            run_command("mount", "--bind", file.name, "/etc/resolv.conf")
    elif (reason := why_not()) is not None:
        print(f"skipped: {reason}")
    else:
        again = ["unshare", "--net", "--mount", sys.executable, *sys.argv]
        os.execvpe("unshare", again, {**os.environ, _NAMESPACE: "1"})  # noqa: S606
    return _NAMESPACE in os.environ
