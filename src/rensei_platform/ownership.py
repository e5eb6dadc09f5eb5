"""Files of the service: who may read them, and whose they are if root has made them."""

import os
from contextlib import suppress
from pathlib import Path


def private(path: str, flags: int) -> int:
    """Open a file for `open`; if this makes it, nobody but its owner may read it."""
    return os.open(path, flags, 0o600)


def give_to_owner_of_directory(*files: Path) -> None:
    """Give files to whom their directory belongs, if root has made them.

    So that a command which an operator runs as root leaves nothing behind that the service
    cannot open. A link is left alone.
    """
    if os.geteuid() != 0:
        return
    for file in files:
        owner = file.parent.stat()
        with suppress(FileNotFoundError):
            os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=False)
